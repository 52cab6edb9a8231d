"""How far predicted boxes are from the true ones, image by image and over a test side; and boxes that need no model."""

import math
from functools import partial

import numpy as np
import pandas as pd

from localizer.boxes import Array, paired_iou
from localizer.evaluation.intervals import Clusters, Estimate, mean, median, share

THRESHOLDS = np.arange(50, 100, 5) / 100  # of the area under the curve: COCO's
SHARES = (0.5, 0.75, 0.9)  # the thresholds that have a name of their own
WORST = 0.1  # of the images
FEWEST_WORST = 100  # images, or clusters, that an interval of the worst is of: with fewer it would lie above the truth


def per_image(pred_px: Array, true_px: Array) -> pd.DataFrame:
    """Return, a row for each pair of boxes [N, 4] xyxy in pixels: iou, giou, and errors of centre and sides in pixels.

    IoU in [0, 1], GIoU in [-1, 1]; a box of no area has IoU 0. The centre's error is its distance.
    """
    import torch
    from torchvision.ops import generalized_box_iou_loss  # takes seconds to import

    # Copies: a table's own arrays are read-only, of which torch warns.
    giou = 1 - generalized_box_iou_loss(torch.tensor(pred_px), torch.tensor(true_px)).numpy()
    off = pred_px - true_px
    return pd.DataFrame(
        {
            "iou": paired_iou(pred_px, true_px),
            "giou": giou,
            "centre_error_px": np.hypot(*((off[:, :2] + off[:, 2:]) / 2).T),
            "width_error_px": np.abs(off[:, 2] - off[:, 0]),
            "height_error_px": np.abs(off[:, 3] - off[:, 1]),
        }
    )


def summary(images: pd.DataFrame, clusters: Clusters) -> dict[str, Estimate]:
    """Return the measures of N >= 1 images, rows of `per_image` in clusters [N], each with its interval."""
    iou, mean_of = images["iou"].to_numpy(), partial(mean, clusters=clusters)
    found = {
        "mean_iou": mean_of(iou),
        "median_iou": median(iou, clusters=clusters),
        "worst_decile_iou": worst_decile(iou, clusters),
        "mean_giou": mean_of(images["giou"].to_numpy()),
    }
    found |= {f"iou_{threshold * 100:.0f}": share(iou >= threshold, clusters=clusters) for threshold in SHARES}
    found["iou_50_95"] = mean_of((iou[:, None] >= THRESHOLDS).mean(axis=1))  # the area under the curve there
    errors = ("centre_error_px", "width_error_px", "height_error_px")
    return found | {name: mean_of(images[name].to_numpy()) for name in errors}


def worst_decile(iou: Array, clusters: Clusters) -> Estimate:
    """Return the mean of the lowest tenth of [N], N >= 1, at least one value, with its interval.

    It is a threshold less the mean shortfall below it (Rockafellar and Uryasev 2000): a mean over all images, whose
    interval is less narrow than that of the lowest tenth in resamples. By simulation it holds the true value in 84 to
    92% of draws from 100 images on, where 90% are promised; in 59% with 100 images if all are good but one in 100.
    With fewer than FEWEST_WORST it has no interval: the ends are NaN.
    """
    ordered = np.sort(iou)
    count = max(1, int(len(iou) * WORST))
    threshold = ordered[min(count, len(iou) - 1)]
    shortfall = np.clip(threshold - iou, 0, None) * (len(iou) / count)
    value = float(ordered[:count].mean())
    if len(np.unique(clusters)) < FEWEST_WORST:
        return Estimate(value, math.nan, math.nan)
    found = mean(threshold - shortfall, clusters=clusters)
    return Estimate(value, max(0.0, found.low), found.high)


def curve(iou: Array, clusters: Clusters) -> pd.DataFrame:
    """Return for 0, 0.05, ..., 1 the share of N >= 1 images at that IoU or more, with its interval."""
    rows = [(threshold, share(iou >= threshold, clusters=clusters)) for threshold in np.arange(21) / 20]
    return pd.DataFrame([(threshold, one.value, one.low, one.high) for threshold, one in rows], columns=CURVE).round(6)


CURVE = ["iou", "share", "low", "high"]


def mean_box(boxes: Array) -> Array:
    """Return the mean [4] of boxes [N, 4] xyxy in [0, 1]: the best constant under squared error."""
    return np.asarray(boxes.mean(axis=0))


def centre_box(boxes: Array) -> Array:
    """Return the box [4] in the image's centre with the mean width and height of boxes [N, 4]."""
    half = (boxes[:, 2:] - boxes[:, :2]).mean(axis=0) / 2
    return np.concatenate([0.5 - half, 0.5 + half])


def constant_iou(box: Array, boxes: Array) -> Array:
    """Return the IoU [N], in [0, 1], of one box [4] with each of boxes [N, 4]."""
    return paired_iou(np.broadcast_to(box, boxes.shape), boxes)
