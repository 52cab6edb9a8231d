"""CSV tables between stages: written the same on every machine, read as text."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from localizer.boxes import Array, as_shares
from localizer.files import replacing

BOX = ["box_1", "box_2", "box_3", "box_4"]  # as given, in the order of the card's box_format
SPLITS = ("train", "validation", "calibration", "test")  # what an image is used for
EDGES = ["xmin_px", "ymin_px", "xmax_px", "ymax_px"]  # from 0, in pixels of the upright image

AGAIN = "`dvc repro` makes it again"

Table = pd.DataFrame


def true_boxes(images: Table) -> Array:
    """Return the boxes [N, 4] xyxy in [0, 1] of a table with EDGES, width and height as numbers."""
    return as_shares(images[EDGES].to_numpy(), images["width"].to_numpy(), images["height"].to_numpy())


def write_table(table: Table, path: Path) -> None:
    """Write a table as UTF-8 CSV without an index, making its folder."""
    with replacing(path) as file:
        table.to_csv(file, index=False, lineterminator="\n", mode="wb")


def read_table(path: Path, *, numbers: Sequence[str] = (), only: list[str] | None = None) -> Table:
    """Return a table as text, with the columns in `numbers` as numbers (NaN where empty); `only`: the columns wanted.

    ValueError names the file and what is wrong with it. pandas would else read an image called NA as missing and 007
    as 7, and break a line at a carriage return in a name, which it writes unquoted.
    """
    # Arrow's other pools give nothing back: of a million rows they hold 0.7 GB that nobody uses any more.
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, lineterminator="\n", usecols=only)
        for name in numbers:
            table[name] = pd.to_numeric(table[name])
    except KeyError as error:
        raise ValueError(f"{path}: there is no column {error}; {AGAIN}") from None
    except ValueError as error:
        raise ValueError(f"{path}: not a table that this Localizer wrote: {error}; {AGAIN}") from None
    return table
