"""Sizes of images, [N, 2] width and height in pixels when upright, NaN where unknown: without decoding one."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from localizer.boxes import Array
from localizer.datasets.coordinates import parse_numbers
from localizer.images.decoding import ImageError, open_image, read_header
from localizer.tables import Table

SIZE = ["width", "height"]
MAX_SIDE = 1_000_000  # pixels; a larger number is no size


def annotated_sizes(boxes: Table) -> Array:
    """Return the annotated size per row, from the texts in `width` and `height`.

    Both sides must be whole, from 1 to MAX_SIDE, or else neither is known.
    """
    sizes = parse_numbers(boxes, SIZE)
    known = (sizes >= 1) & (sizes <= MAX_SIDE) & (sizes == np.round(sizes))
    return np.where(known.all(axis=1, keepdims=True), sizes, np.nan)


def first_sizes(boxes: Table) -> Table:
    """Return image, width and height, one row per image: the first known annotated size of its rows."""
    rows = pd.DataFrame(annotated_sizes(boxes), columns=SIZE).assign(image=boxes["image"].to_numpy())
    return rows.groupby("image", sort=False)[SIZE].first().reset_index()  # the first that is no NaN


def header_sizes(names: Sequence[str], folder: Path) -> Array:
    """Return the sizes from the headers of the images, one row per name; each file is opened once."""
    unique = list(dict.fromkeys(names))
    with ThreadPoolExecutor() as pool:
        sizes = dict(zip(unique, pool.map(lambda name: _header_size(folder / name), unique), strict=True))
    return np.array([sizes[name] for name in names], dtype=np.float64).reshape(-1, 2)


def _header_size(path: Path) -> tuple[float, float]:
    try:
        with open_image(path) as image:
            header = read_header(image)
    except ImageError:  # `localizer validate` reports what is wrong with it
        return np.nan, np.nan
    return header.width, header.height
