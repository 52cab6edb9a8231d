"""Slices of a test side: images of one label, size, aspect or position, so that a mean hides no weak spot."""

import numpy as np
import pandas as pd

from localizer.boxes import Array
from localizer.evaluation.intervals import Clusters, mean

# Edges are fixed, not quantiles, so that a slice means the same in every run. Each name ends below the next edge.
SIZES = {"under 1% of the image": 0.01, "1 to 5%": 0.05, "5 to 20%": 0.2, "20 to 50%": 0.5, "50% or more": np.inf}
ASPECTS = {"tall (under 2:3)": 2 / 3, "about square": 1.5, "wide (3:2 or more)": np.inf}
ROWS, COLUMNS = ("top", "middle", "bottom"), ("left", "centre", "right")
DIGITS = 9  # of shares made from pixels: more would put what lies on an edge on either side of it
FEW = 20  # images: a slice of fewer is shown, but decides nothing
SLICES = ["kind", "slice", "images", "mean_iou", "low", "high"]


def kinds(images: pd.DataFrame, true: Array) -> dict[str, pd.Series]:
    """Return each image's slice, in order, for each kind; images have label, width and height, true is [N, 4] xyxy.

    The box's size and place are shares of its image, its aspect is in pixels.
    """
    size = true[:, 2:] - true[:, :2]
    width, height = (size * images[["width", "height"]].to_numpy()).T
    aspect = np.divide(width, height, out=np.full(len(true), np.inf), where=height > 0)
    column, row = np.clip(((true[:, :2] + true[:, 2:]) / 2 * 3).round(DIGITS).astype(int), 0, 2).T
    places = pd.Index([f"{y} {x}" for y in ROWS for x in COLUMNS])
    labels = sorted(set(images["label"]))
    found = {
        "label": pd.Series(pd.Categorical(images["label"], labels)),
        "size": _below(size.prod(axis=1), SIZES),
        "aspect": _below(aspect, ASPECTS),
        "position": pd.Series(pd.Categorical.from_codes(row * len(COLUMNS) + column, places)),
    }
    return {kind: values.set_axis(images.index) for kind, values in found.items() if kind != "label" or len(labels) > 1}


def slices(kinds: dict[str, pd.Series], iou: Array, clusters: Clusters) -> pd.DataFrame:
    """Return a row for each slice that has images, in clusters [N]: kind, name, count, mean IoU with its interval.

    The interval is NaN where the images are one, or all alike: they can't tell how far others would be.
    """
    rows = []
    for kind, names in kinds.items():
        for name in names.cat.categories:
            chosen = (names == name).to_numpy()
            if chosen.any():
                found = mean(iou[chosen], clusters=clusters[chosen])
                ends = (found.low, found.high) if found.low < found.high else (np.nan, np.nan)
                rows.append((kind, name, int(chosen.sum()), found.value, *ends))
    return pd.DataFrame(rows, columns=SLICES).round(6)


def _below(values: Array, edges: dict[str, float]) -> pd.Series:
    places = np.searchsorted(np.round(list(edges.values())[:-1], DIGITS), values.round(DIGITS), side="right")
    return pd.Series(pd.Categorical.from_codes(places, pd.Index(list(edges))))
