"""How far predicted boxes are from the true ones: image by image, and over a test side."""

import numpy as np
import pandas as pd

from localizer.boxes import Array, paired_iou
from localizer.evaluation.intervals import Estimate, estimate, mean, share

THRESHOLDS = np.arange(50, 100, 5) / 100  # of the area under the curve: COCO's
SHARES = (0.5, 0.75, 0.9)  # the thresholds that have a name of their own
WORST = 0.1  # of the images


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


def summary(images: pd.DataFrame) -> dict[str, Estimate]:
    """Return the measures of N >= 1 images, rows of `per_image`, each with its interval."""
    iou = images["iou"].to_numpy()
    found = {
        "mean_iou": mean(iou),
        "median_iou": estimate(iou, np.median),
        "worst_decile_iou": worst_decile(iou),
        "mean_giou": mean(images["giou"].to_numpy()),
    }
    found |= {f"iou_{threshold * 100:.0f}": share(iou >= threshold) for threshold in SHARES}
    found["iou_50_95"] = mean((iou[:, None] >= THRESHOLDS).mean(axis=1))  # the area under the curve there
    errors = ("centre_error_px", "width_error_px", "height_error_px")
    return found | {name: mean(images[name].to_numpy()) for name in errors}


def worst_decile(iou: Array) -> Estimate:
    """Return the mean of the lowest tenth of [N], N >= 1, at least one value, with its interval.

    It is a threshold less the mean shortfall below it (Rockafellar and Uryasev 2000): a mean over all images, whose
    interval is less narrow than that of the lowest tenth in resamples. By simulation it holds the true value in 85 to
    92% of draws from 100 images on, in 70 to 90% with 40, where 90% are promised.
    """
    ordered = np.sort(iou)
    count = max(1, int(len(iou) * WORST))
    threshold = ordered[min(count, len(iou) - 1)]
    shortfall = np.clip(threshold - ordered, 0, None) * (len(iou) / count)
    found = mean(threshold - shortfall)
    return Estimate(float(ordered[:count].mean()), max(0.0, found.low), found.high)


def curve(iou: Array) -> pd.DataFrame:
    """Return for 0, 0.05, ..., 1 the share of N >= 1 images at that IoU or more, with its interval."""
    rows = [(threshold, share(iou >= threshold)) for threshold in np.arange(21) / 20]
    return pd.DataFrame([(threshold, one.value, one.low, one.high) for threshold, one in rows], columns=CURVE).round(6)


CURVE = ["iou", "share", "low", "high"]
