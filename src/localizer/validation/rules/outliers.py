"""How unusual a box is among those of its label, by size, aspect and position.

The score is the modified z-score of Iglewicz and Hoaglin (How to Detect and Handle Outliers, 1993): the
distance from the median in units of the median distance, scaled to agree with a normal distribution's
standard deviation. They suggest 3.5 for a look at data; LIMIT is higher, since boxes have long tails.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

LIMIT = 8
FEWEST = 30  # boxes of a label; the median distance of fewer says little
NORMAL = 1.4826  # the standard deviation of a normal distribution, over its median distance


class Score(NamedTuple):
    """A column of scores, and how a finding tells of the value behind it."""

    column: str
    got: str


SCORES = {
    "size": Score("size_score", "a box of {box_share:.2%} of the image's area"),
    "aspect": Score("aspect_score", "a box {aspect:.2f} times as wide as high"),
    "position": Score("position_score", "a box around {centre_x:.0%} across and {centre_y:.0%} down"),
}


def with_scores(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with EDGES, label and the image's size, with box_share, aspect, centres and scores added.

    A score is NaN for a box without an area, or with fewer than FEWEST others of its label.
    """
    wide, high = table["xmax_px"] - table["xmin_px"], table["ymax_px"] - table["ymin_px"]
    flat = ~((wide > 0) & (high > 0))
    wide, high = wide.mask(flat), high.mask(flat)
    across, down = table["image_width"], table["image_height"]
    table = table.assign(
        box_share=wide * high / (across * down),
        aspect=wide / high,
        centre_x=((table["xmin_px"] + table["xmax_px"]) / 2 / across).mask(flat),
        centre_y=((table["ymin_px"] + table["ymax_px"]) / 2 / down).mask(flat),
    )
    label = table["label"].fillna("")
    across, down = (_score(table[name], label) for name in ("centre_x", "centre_y"))
    return table.assign(
        size_score=_score(np.log(table["box_share"]), label),
        aspect_score=_score(np.log(table["aspect"]), label),
        position_score=np.fmax(across, down),
    )


def _score(values: "pd.Series[float]", label: "pd.Series[str]") -> "pd.Series[float]":
    """Return each value's distance from the median of its label, in usual distances."""
    distance = (values - values.groupby(label).transform("median")).abs()
    usual = NORMAL * distance.groupby(label).transform("median")
    known = (usual > 0) & (values.groupby(label).transform("count") >= FEWEST)
    return (distance / usual.where(known)).astype(float)
