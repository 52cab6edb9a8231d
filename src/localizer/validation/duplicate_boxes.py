"""Images that look alike, told to a person: by which names, and how far their boxes agree."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from localizer.boxes import Array, paired_iou, to_fractions
from localizer.probing.duplicates import Pair
from localizer.probing.hamming import BITS
from localizer.tables import EDGES, Table
from localizer.validation.rules.rule import name_some


def looks_like(table: Table, pairs: Sequence[Pair]) -> "pd.Series[Any]":
    """Return, for each image, the names of those that look like it and have other bytes."""
    likes: dict[int, list[str]] = {}
    told = table.iloc[sorted({row for pair in pairs for row in (pair.first, pair.second)})]
    known = dict(zip(told["row"], zip(told["image"], told["sha256"], strict=True), strict=True))
    for pair in (pair for pair in pairs if known[pair.first][1] != known[pair.second][1]):
        kind = "mirrored, " if pair.mirrored else ""
        for one, other in ((pair.first, pair.second), (pair.second, pair.first)):
            likes.setdefault(one, []).append(f"{known[other][0]} ({kind}{pair.distance} of {BITS} bits differ)")
    return table["row"].map({row: name_some(names) for row, names in likes.items()}).astype(object)


def agreement(images: "pd.Series[str]", pairs: Sequence[Pair], boxes: Table) -> list[str]:
    """Return, for each image with copies, the lowest IoU of its box and theirs, as text; copies have one box each."""
    ends = np.array([(pair.first, pair.second) for pair in pairs], dtype=np.int64).reshape(-1, 2)
    mirrored = np.array([pair.mirrored for pair in pairs], dtype=bool)
    single = boxes[boxes["judged"] & (boxes["boxes_in_image"] == 1) & boxes["image"].isin(images.iloc[ends.ravel()])]
    single = single.drop_duplicates("image").set_index("image")
    known = [images.iloc[rows].isin(single.index).to_numpy() for rows in ends.T]
    ends, mirrored = ends[known[0] & known[1]], mirrored[known[0] & known[1]]
    first, second = (_shares(single.loc[images.iloc[rows].tolist()]) for rows in ends.T)
    second[mirrored, 0], second[mirrored, 2] = 1 - second[mirrored, 2], 1 - second[mirrored, 0]
    lowest = np.full(len(images), np.nan)
    np.fmin.at(lowest, ends.ravel(), np.repeat(paired_iou(first, second), 2))
    return ["" if np.isnan(iou) else f"; their boxes agree at an IoU of {iou:.2f}" for iou in lowest.tolist()]


def _shares(boxes: Table) -> Array:
    """Return the boxes' edges as shares of their images."""
    edges, width, height = (boxes[names].to_numpy(dtype=np.float64) for names in (EDGES, "image_width", "image_height"))
    return to_fractions(edges, width, height)
