"""Box coordinates: from text to xyxy edges in pixels of the upright image, as the config declares them."""

from collections.abc import Sequence

import numpy as np

from localizer.boxes import Array, BoxFormat, to_pixels, to_xyxy
from localizer.dataset import SCALES, DatasetConfig
from localizer.tables import BOX, EDGES, Table

# A decimal number in ASCII, of so few digits that it is finite.
NUMBER = r"^[+-]?(?:[0-9]{1,15}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})(?:[eE][+-]?[0-9]{1,2})?\Z"

# Center and size in six decimals, as in YOLO files, put an edge at most 0.75e-6 beyond the image's.
ROUNDING = 1e-6


def with_edges(boxes: Table, images: Table, config: DatasetConfig) -> Table:
    """Return the boxes with EDGES added; `images`: image, width and height, one row per image."""
    sizes = images.set_index("image").loc[boxes["image"], ["width", "height"]].to_numpy(dtype=np.float64)
    edges = edges_px(parse_coordinates(boxes), sizes, config)
    return boxes.assign(**dict(zip(EDGES, edges.T, strict=True)))


def edges_px(coordinates: Array, sizes: Array, config: DatasetConfig) -> Array:
    """Return boxes [N, 4] of the config's encoding as xyxy edges in pixels, in images of the sizes [N, 2].

    NaN where a coordinate is, and where boxes are in shares of a side and the image's size is 0 or NaN.
    """
    edges = to_xyxy(coordinates, config.box_format)
    if config.corners == "any":
        edges = ordered(edges)
    if config.box_units in SCALES:
        sizes = np.where(sizes == 0, np.nan, sizes)
        return to_pixels(_snapped(edges / SCALES[config.box_units]), sizes[:, 0], sizes[:, 1])
    return to_zero_based(edges, config.box_format) if config.box_origin == 1 else edges


def ordered(edges: Array) -> Array:
    """Return edges [N, 4] of which each beginning is no larger than its end."""
    first, last = edges[:, :2], edges[:, 2:]
    return np.concatenate([np.minimum(first, last), np.maximum(first, last)], axis=1)


def parse_coordinates(boxes: Table) -> Array:
    """Return the four coordinates of each box as annotated, [N, 4]: see `parse_numbers`."""
    return parse_numbers(boxes, BOX)


def parse_numbers(table: Table, columns: Sequence[str]) -> Array:
    """Return columns of text as numbers [N, columns]; NaN where the text is no NUMBER."""
    texts = [table[name].where(table[name].str.contains(NUMBER, regex=True), "nan") for name in columns]
    return np.stack([text.to_numpy(dtype=np.float64) for text in texts], axis=1)


def to_zero_based(edges: Array, box_format: BoxFormat) -> Array:
    """Turn edges [N, 4] of pixels counted from 1, the last one included, into edges from 0: see `DatasetConfig`."""
    shift = [1, 1, 0, 0] if box_format == "xyxy" else [1, 1, 1, 1]
    return edges - np.array(shift, dtype=np.float64)


def _snapped(edges: Array) -> Array:
    """Return edges in [0, 1] with those that miss 0 or 1 by less than ROUNDING moved there."""
    edges = np.where(np.abs(edges) <= ROUNDING, 0, edges)
    return np.where(np.abs(edges - 1) <= ROUNDING, 1, edges)
