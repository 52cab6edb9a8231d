"""What boxes as given show of how they are written: which readings fit, and whether pixels are counted from 1."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from localizer.boxes import Array, BoxFormat, to_xyxy
from localizer.dataset import Units
from localizer.datasets.coordinates import to_zero_based

FEWEST = 3  # boxes that are a sign; fewer are chance
SLACK = 1e-6  # pixels or shares: what rounding moves an edge by


class EdgesFromOne(NamedTuple):
    """How many boxes begin below 1 and at 1, and end at their image's last pixel and beyond it."""

    below: int
    at_one: int
    at_end: int
    beyond: int

    def are_a_sign(self) -> bool:
        """Return whether counting from 1 alone explains where boxes begin and end."""
        return not (self.below or self.beyond) and min(self.at_one, self.at_end) >= FEWEST


def limits(sizes: Array, units: Units) -> Array:
    """Return how far boxes may reach right and down, [N, 2], in images of the sizes [N, 2]: inf where unknown."""
    return np.ones_like(sizes) if units == "unit" else np.where(np.isfinite(sizes), sizes, np.inf)


def fits(
    numbers: Array, sizes: Array, *, box_format: BoxFormat, units: Units, origin: Literal[0, 1] = 0
) -> NDArray[np.bool_]:
    """Return which boxes [N, 4] have an area and lie within their images of sizes [N, 2], NaN where unknown.

    Shares and centres are never counted from 1. A box with a NaN does not fit.
    """
    counted = origin == 1 and units == "pixel" and box_format != "cxcywh"
    edges = to_xyxy(numbers, box_format)
    edges = to_zero_based(edges, box_format) if counted else edges
    low, high = edges[:, :2], edges[:, 2:]
    inside: NDArray[np.bool_] = (low >= -SLACK) & (low < high) & (high <= limits(sizes, units) + SLACK)
    return inside[:, 0] & inside[:, 1]


def edges_from_one(numbers: Array, sizes: Array, *, box_format: BoxFormat) -> EdgesFromOne:
    """Return where boxes [N, 4] in pixels begin and end, if counted from 1, in images of the sizes [N, 2]."""
    edges = to_zero_based(to_xyxy(numbers, box_format), box_format)
    low, high = edges[:, :2], edges[:, 2:]
    return EdgesFromOne(*(int(some.any(axis=1).sum()) for some in (low < 0, low == 0, high == sizes, high > sizes)))
