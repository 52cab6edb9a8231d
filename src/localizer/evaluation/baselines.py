"""Boxes that need no model: what a model must beat to have learnt anything."""

import numpy as np

from localizer.boxes import Array, paired_iou


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
