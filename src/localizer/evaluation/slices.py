"""Mean IoU by slice of the test split (label, size, aspect, position), to reveal weak spots behind a good mean."""

from typing import Any

import numpy as np
import pandas as pd

from localizer.boxes import Array
from localizer.evaluation.intervals import Clusters, mean

# Edges are fixed, not quantiles, so that a slice means the same in every run. Each slice ends below its edge.
SIZES = {"under 1% of the image": 0.01, "1 to 5%": 0.05, "5 to 20%": 0.2, "20 to 50%": 0.5, "50% or more": np.inf}
ASPECTS = {"tall (under 2:3)": 2 / 3, "about square": 1.5, "wide (3:2 or more)": np.inf}
ROWS, COLUMNS = ("top", "middle", "bottom"), ("left", "centre", "right")
DIGITS = 9  # of shares computed from pixels: with more, rounding errors move what lies on an edge
MIN_IMAGES = 20  # of a slice, or a test split, to base a decision on
SLICES = ["kind", "slice", "images", "mean_iou", "low", "high"]


def slice_labels(images: pd.DataFrame, true: Array) -> dict[str, pd.Series]:
    """Return the slice of each image, as a categorical with the images' index, by kind of slice.

    images: columns label, width, height. true: [N, 4] xyxy in [0, 1]. Size and position are relative to the image, the
    aspect is in pixels. The kind `label` is absent if all labels are equal.
    """
    size = true[:, 2:] - true[:, :2]
    width, height = (size * images[["width", "height"]].to_numpy()).T
    aspect = np.divide(width, height, out=np.full(len(true), np.inf), where=height > 0)
    column, row = np.clip(((true[:, :2] + true[:, 2:]) / 2 * 3).round(DIGITS).astype(int), 0, 2).T
    positions = pd.Index([f"{y} {x}" for y in ROWS for x in COLUMNS])
    labels = sorted(set(images["label"]))
    slices = {"label": pd.Categorical(images["label"], labels)} if len(labels) > 1 else {}
    slices |= {
        "size": _binned(size.prod(axis=1), SIZES),
        "aspect": _binned(aspect, ASPECTS),
        "position": pd.Categorical.from_codes(row * len(COLUMNS) + column, positions),
    }
    return {kind: pd.Series(names, index=images.index) for kind, names in slices.items()}


def slices(labels: dict[str, pd.Series], iou: Array, clusters: Clusters) -> pd.DataFrame:
    """Return one row per non-empty slice, with columns SLICES; labels: of `slice_labels`, iou and clusters: [N].

    The interval is NaN for a single image or equal IoUs, which give no estimate of the spread.
    """
    rows = []
    for kind, names in labels.items():
        for name in names.cat.categories:
            chosen = (names == name).to_numpy()
            if chosen.any():
                iou_mean = mean(iou[chosen], clusters=clusters[chosen])
                ends = (iou_mean.low, iou_mean.high) if iou_mean.low < iou_mean.high else (np.nan, np.nan)
                rows.append((kind, name, int(chosen.sum()), iou_mean.value, *ends))
    return pd.DataFrame(rows, columns=SLICES).round(6)


def _binned(values: Array, edges: dict[str, float]) -> "pd.Categorical[Any]":
    bins = np.searchsorted(np.round(list(edges.values())[:-1], DIGITS), values.round(DIGITS), side="right")
    return pd.Categorical.from_codes(bins, pd.Index(list(edges)))
