"""Tests of a box encoding: which boxes lie within their images, and whether pixels seem to be counted from 1."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from localizer.boxes import Array, BoxFormat, to_xyxy
from localizer.dataset import SCALES, Units
from localizer.datasets.coordinates import to_zero_based

MIN_BOXES = 3  # that are evidence; fewer are chance
SLACK = 1e-6  # pixels, or in [0, 1]: what rounding moves an edge by


class OneBasedEdges(NamedTuple):
    """Counting from 1: how many boxes begin below 1 and at 1, and end at their image's last pixel and beyond it."""

    below: int
    at_one: int
    at_end: int
    beyond: int

    def suggest_one_based(self) -> bool:
        """Return whether only counting from 1 explains where boxes begin and end."""
        return not (self.below or self.beyond) and min(self.at_one, self.at_end) >= MIN_BOXES


def limits(sizes: Array, units: Units) -> Array:
    """Return how far boxes may reach right and down, [N, 2], in images of the sizes [N, 2]: inf where unknown."""
    if units in SCALES:
        return np.full_like(sizes, SCALES[units])
    return np.where(np.isfinite(sizes), sizes, np.inf)


def fits(
    coordinates: Array, sizes: Array, *, box_format: BoxFormat, units: Units, origin: Literal[0, 1] = 0
) -> NDArray[np.bool_]:
    """Return which boxes [N, 4] have an area and lie within their images of sizes [N, 2], NaN where unknown.

    Boxes in [0, 1] and centers are never counted from 1. A box with a NaN does not fit.
    """
    edges = to_xyxy(coordinates, box_format)
    if origin == 1 and units == "pixel" and box_format != "cxcywh":
        edges = to_zero_based(edges, box_format)
    low, high = edges[:, :2], edges[:, 2:]
    return np.all((low >= -SLACK) & (low < high) & (high <= limits(sizes, units) + SLACK), axis=1)


def one_based_edges(coordinates: Array, sizes: Array, *, box_format: BoxFormat) -> OneBasedEdges:
    """Return where boxes [N, 4] in pixels begin and end, if counted from 1, in images of the sizes [N, 2]."""
    edges = to_zero_based(to_xyxy(coordinates, box_format), box_format)
    low, high = edges[:, :2], edges[:, 2:]
    return OneBasedEdges(*(int(rows.any(axis=1).sum()) for rows in (low < 0, low == 0, high == sizes, high > sizes)))
