"""How unusual a box is among those of its label, by size, aspect and position.

The score is the modified z-score of Iglewicz and Hoaglin (How to Detect and Handle Outliers, 1993): the
distance from the median in units of the median distance, scaled to agree with a normal distribution's
standard deviation. They suggest 3.5 to flag outliers; LIMIT is higher, since boxes have long tails.
"""

import numpy as np
import pandas as pd

LIMIT = 8
MIN_BOXES = 30  # of a label; the median distance of fewer is no estimate
NORMAL = 1.4826  # the standard deviation of a normal distribution, over its median distance


def with_scores(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with EDGES, label and the image's size, with box_share, aspect, centers and scores added.

    A score is NaN for a box without an area, and for a label with fewer than MIN_BOXES.
    """
    width, height = table["xmax_px"] - table["xmin_px"], table["ymax_px"] - table["ymin_px"]
    empty = ~((width > 0) & (height > 0))
    width, height = width.mask(empty), height.mask(empty)
    image_width, image_height = table["image_width"], table["image_height"]
    table = table.assign(
        box_share=width * height / (image_width * image_height),
        aspect=width / height,
        center_x=((table["xmin_px"] + table["xmax_px"]) / 2 / image_width).mask(empty),
        center_y=((table["ymin_px"] + table["ymax_px"]) / 2 / image_height).mask(empty),
    )
    label = table["label"].fillna("")
    return table.assign(
        size_score=_score(np.log(table["box_share"]), label),
        aspect_score=_score(np.log(table["aspect"]), label),
        position_score=np.fmax(_score(table["center_x"], label), _score(table["center_y"], label)),
    )


def _score(values: "pd.Series[float]", label: "pd.Series[str]") -> "pd.Series[float]":
    """Return each value's distance from the median of its label, in scaled median distances."""
    distance = (values - values.groupby(label).transform("median")).abs()
    unit = NORMAL * distance.groupby(label).transform("median")
    is_known = (unit > 0) & (values.groupby(label).transform("count") >= MIN_BOXES)
    return (distance / unit.where(is_known)).astype(float)
