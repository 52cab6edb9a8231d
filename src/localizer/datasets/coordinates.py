"""The canonical form of boxes: xyxy edges in pixels of the upright image, from what a card declares."""

import numpy as np
import pandas as pd

from localizer.boxes import Array, BoxFormat, to_pixels, to_xyxy
from localizer.dataset import DatasetConfig
from localizer.tables import BOX, EDGES

# A decimal number in ASCII, of so few digits that it is finite.
NUMBER = r"^[+-]?(?:[0-9]{1,15}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})(?:[eE][+-]?[0-9]{1,2})?\Z"

# Centre and size in six decimals, as YOLO files have them, put an edge at most 0.75e-6 beyond the image's.
ROUNDING = 1e-6


def with_edges(boxes: pd.DataFrame, facts: pd.DataFrame, card: DatasetConfig) -> pd.DataFrame:
    """Return the boxes with EDGES added, NaN where the text is no number or the image's size is unknown."""
    edges = to_xyxy(parse_coordinates(boxes), card.box_format)
    if card.box_units == "unit":
        size = facts.set_index("image").loc[boxes["image"], ["width", "height"]].to_numpy(dtype=np.float64)
        size = np.where(size == 0, np.nan, size)
        edges = to_pixels(_snapped(edges), size[:, 0], size[:, 1])
    elif card.box_origin == 1:
        edges = to_zero_based(edges, card.box_format)
    return boxes.assign(**dict(zip(EDGES, edges.T, strict=True)))


def _snapped(shares: Array) -> Array:
    """Return shares that miss 0 or 1 by less than ROUNDING as 0 or 1."""
    shares = np.where(np.abs(shares) <= ROUNDING, 0, shares)
    return np.where(np.abs(shares - 1) <= ROUNDING, 1, shares)


def parse_coordinates(boxes: pd.DataFrame) -> Array:
    """Return the four values of each box as given, [N, 4]; NaN where the text is no NUMBER."""
    columns = [boxes[name].where(boxes[name].str.contains(NUMBER, regex=True), "nan") for name in BOX]
    return np.stack([column.to_numpy(dtype=np.float64) for column in columns], axis=1)


def to_zero_based(edges: Array, box_format: BoxFormat) -> Array:
    """Turn edges [N, 4] of pixels counted from 1, the last one included, into edges from 0: see `DatasetConfig`."""
    shift = [1, 1, 0, 0] if box_format == "xyxy" else [1, 1, 1, 1]
    return edges - np.array(shift, dtype=np.float64)
