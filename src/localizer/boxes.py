"""Box geometry on numpy arrays: formats and IoU.

Inside the program a box is xyxy in [0, 1]: (xmin, ymin, xmax, ymax) as fractions of the image's width and
height. These functions work in any unit.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
BoxFormat = Literal["xyxy", "xywh", "cxcywh", "xyhw"]

FORMATS: dict[BoxFormat, tuple[str, str, str, str]] = {
    "xyxy": ("xmin", "ymin", "xmax", "ymax"),
    "xywh": ("x", "y", "width", "height"),
    "cxcywh": ("center x", "center y", "width", "height"),
    "xyhw": ("x", "y", "height", "width"),
}


def to_xyxy(boxes: Array, box_format: BoxFormat) -> Array:
    """Convert boxes [N, 4] to xyxy [N, 4]; a NaN affects only the corners that depend on it."""
    a, b, c, d = np.asarray(boxes, dtype=np.float64).reshape(-1, 4).T
    if box_format == "xyxy":
        corners = (a, b, c, d)
    elif box_format == "xywh":
        corners = (a, b, a + c, b + d)
    elif box_format == "cxcywh":
        corners = (a - c / 2, b - d / 2, a + c / 2, b + d / 2)
    elif box_format == "xyhw":
        corners = (a, b, a + d, b + c)
    else:
        raise ValueError(f"box format: expected one of {', '.join(FORMATS)}, got {box_format!r}")
    return np.stack(corners, axis=1)


def area(boxes_xyxy: Array) -> Array:
    """Return the areas [N] of boxes [N, 4] xyxy; 0 if the corners are out of order."""
    sides = np.clip(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 0, None)
    return sides[:, 0] * sides[:, 1]


def paired_iou(a_xyxy: Array, b_xyxy: Array) -> Array:
    """Return the IoU [N] in [0, 1] of each pair of boxes [N, 4] xyxy; 0, never NaN, for a zero-area box."""
    overlap = area(
        np.concatenate(
            [np.maximum(a_xyxy[:, :2], b_xyxy[:, :2]), np.minimum(a_xyxy[:, 2:], b_xyxy[:, 2:])],
            axis=1,
        )
    )
    union = area(a_xyxy) + area(b_xyxy) - overlap
    return np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)


def to_fractions(boxes_px: Array, width: Array, height: Array) -> Array:
    """Convert pixel boxes [N, 4] to fractions of the images' width [N] and height [N]."""
    return boxes_px / np.stack([width, height, width, height], axis=-1)


def to_pixels(boxes: Array, width: Array, height: Array) -> Array:
    """Convert boxes [N, 4] in [0, 1] to pixels of images of this width [N] and height [N]."""
    return boxes * np.stack([width, height, width, height], axis=-1)
