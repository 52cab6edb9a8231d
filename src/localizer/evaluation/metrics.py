"""IoU of predictions, beside what needs no model: a mean box and a centred box."""

import numpy as np

from localizer.boxes import Array, paired_iou


def iou_metrics(iou: Array) -> dict[str, float]:
    """Return mean and median of IoU [N], N >= 1, and the shares at 0.5 and at 0.75 or more."""
    return {
        "mean_iou": float(iou.mean()),
        "median_iou": float(np.median(iou)),
        "iou_50": float((iou >= 0.5).mean()),
        "iou_75": float((iou >= 0.75).mean()),
    }


def mean_box(boxes: Array) -> Array:
    """Return the mean [4] of boxes [N, 4] xyxy in [0, 1]: the best constant under squared error."""
    return np.asarray(boxes.mean(axis=0))


def centre_box(boxes: Array) -> Array:
    """Return the box [4] in the image's centre with the mean width and height of boxes [N, 4]."""
    half = (boxes[:, 2:] - boxes[:, :2]).mean(axis=0) / 2
    return np.concatenate([0.5 - half, 0.5 + half])


def constant_iou(box: Array, boxes: Array) -> float:
    """Return the mean IoU, in [0, 1], of one box [4] with boxes [N, 4]."""
    return float(paired_iou(np.broadcast_to(box, boxes.shape), boxes).mean())


def iou_curve(iou: Array) -> Array:
    """Return rows (threshold, share of images at that IoU or more) for 0, 0.05, ..., 1; iou is [N], N >= 1."""
    thresholds = np.arange(21) / 20
    shares = (iou[None, :] >= thresholds[:, None]).mean(axis=1)
    return np.stack([thresholds, shares.round(6)], axis=1)
