"""Near-duplicate images: which they are, and how well their boxes agree."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from localizer.boxes import Array, paired_iou, to_fractions
from localizer.probing.duplicates import Pair
from localizer.probing.hamming import BITS
from localizer.tables import EDGES, Table
from localizer.validation.rules.rule import abbreviate


def near_duplicate_names(images: Table, pairs: Sequence[Pair]) -> "pd.Series[Any]":
    """Return, per image, the names of its near-duplicates with other bytes, as text."""
    duplicates: dict[int, list[str]] = {}
    rows = images.iloc[sorted({row for pair in pairs for row in (pair.first, pair.second)})].set_index("row")
    names, sha256 = rows["image"].to_dict(), rows["sha256"].to_dict()
    for pair in (pair for pair in pairs if sha256[pair.first] != sha256[pair.second]):
        difference = f"{'mirrored, ' if pair.mirrored else ''}{pair.distance} of {BITS} hash bits differ"
        for row, other in ((pair.first, pair.second), (pair.second, pair.first)):
            duplicates.setdefault(row, []).append(f"{names[other]} ({difference})")
    return images["row"].map({row: abbreviate(names) for row, names in duplicates.items()}).astype(object)


def duplicate_box_iou(images: "pd.Series[str]", pairs: Sequence[Pair], boxes: Table) -> Array:
    """Return, per image, the lowest IoU of its box and its duplicates', NaN where not each has one box."""
    rows = np.array([(pair.first, pair.second) for pair in pairs], dtype=np.int64).reshape(-1, 2)
    mirrored = np.array([pair.mirrored for pair in pairs], dtype=bool)
    single = boxes[boxes["checked"] & (boxes["boxes_in_image"] == 1) & boxes["image"].isin(images.iloc[rows.ravel()])]
    single = single.drop_duplicates("image").set_index("image")
    comparable = images.isin(single.index).to_numpy()[rows].all(axis=1)
    rows, mirrored = rows[comparable], mirrored[comparable]
    first, second = (_relative_boxes(single.loc[images.iloc[column].tolist()]) for column in rows.T)
    second[mirrored, 0], second[mirrored, 2] = 1 - second[mirrored, 2], 1 - second[mirrored, 0]
    lowest = np.full(len(images), np.nan)
    np.fmin.at(lowest, rows.ravel(), np.repeat(paired_iou(first, second), 2))
    return lowest


def _relative_boxes(boxes: Table) -> Array:
    edges, width, height = (boxes[names].to_numpy(dtype=np.float64) for names in (EDGES, "image_width", "image_height"))
    return to_fractions(edges, width, height)
