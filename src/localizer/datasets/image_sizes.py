"""The sizes of images, [N, 2] width and height in pixels when upright, NaN where unknown: without decoding one."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from localizer.boxes import Array
from localizer.datasets.coordinates import NUMBER
from localizer.images.decoding import ImageError, open_image, read_header
from localizer.tables import Table

UNKNOWN = (np.nan, np.nan)
LONGEST = 1_000_000  # pixels of a side; what says more is no size


def annotated_sizes(boxes: Table) -> Array:
    """Return the sizes that the annotations tell, a row a box, from the texts in `width` and `height`.

    Both sides must be whole, from 1 to LONGEST, or else neither is known.
    """
    columns = [boxes[name].where(boxes[name].str.contains(NUMBER, regex=True), "nan") for name in ("width", "height")]
    sizes = np.stack([column.to_numpy(dtype=np.float64) for column in columns], axis=1)
    known = (sizes >= 1) & (sizes <= LONGEST) & (sizes == np.round(sizes))
    return np.where(known.all(axis=1, keepdims=True), sizes, np.nan)


def first_sizes(boxes: Table) -> Table:
    """Return image, width and height, a row an image: the first known size of its rows, as annotated."""
    sizes = annotated_sizes(boxes)
    rows = pd.DataFrame({"image": boxes["image"].to_numpy(), "width": sizes[:, 0], "height": sizes[:, 1]})
    return rows.groupby("image", sort=False).first().reset_index()  # the first that is no NaN


def header_sizes(names: Sequence[str], folder: Path) -> Array:
    """Return the sizes that the headers of the images tell, a row a name; each file is opened once."""
    once = list(dict.fromkeys(names))
    with ThreadPoolExecutor() as pool:
        sizes = dict(zip(once, pool.map(lambda name: _header_size(folder / name), once), strict=True))
    return np.array([sizes[name] for name in names], dtype=np.float64).reshape(-1, 2)


def _header_size(path: Path) -> tuple[float, float]:
    try:
        with open_image(path) as image:
            header = read_header(image)
    except ImageError:  # `localizer validate` says what is wrong with it
        return UNKNOWN
    return header.width, header.height
