"""CSV tables between stages: the same bytes on every machine, read as text."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from localizer.boxes import Array, to_fractions
from localizer.files import replacing

BOX = ["box_1", "box_2", "box_3", "box_4"]  # as annotated, in the order of box_format
SPLITS = ("train", "validation", "calibration", "test")  # in this order everywhere
EDGES = ["xmin_px", "ymin_px", "xmax_px", "ymax_px"]  # from 0, in pixels of the upright image
PREDICTED_EDGES = [f"pred_{edge}" for edge in EDGES]

REBUILD = "`dvc repro` rebuilds it"

Table = pd.DataFrame


def true_boxes(images: Table) -> Array:
    """Return the boxes [N, 4] xyxy in [0, 1] of a table with EDGES, width and height as numbers."""
    return to_fractions(images[EDGES].to_numpy(), images["width"].to_numpy(), images["height"].to_numpy())


def write_table(table: Table, path: Path) -> None:
    """Write a table as UTF-8 CSV without an index; creates the folder."""
    with replacing(path) as file:
        table.to_csv(file, index=False, lineterminator="\n", mode="wb")


def read_table(path: Path, *, numbers: Sequence[str] = (), only: list[str] | None = None) -> Table:
    """Return a table as text, with the columns `numbers` as numbers (NaN if empty); `only`: the columns to read.

    ValueError names the file and the problem. With its defaults pandas would read an image called NA as missing and 007
    as 7, and break a line at a carriage return in a name, which it writes unquoted.
    """
    # Arrow's other pools never return memory: after a million rows they keep 0.7 GB.
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, lineterminator="\n", usecols=only)
        for name in numbers:
            table[name] = pd.to_numeric(table[name])
    except KeyError as error:
        raise ValueError(f"{path}: no column {error}; {REBUILD}") from None
    except ValueError as error:
        raise ValueError(f"{path}: not a table written by this version: {error}; {REBUILD}") from None
    return table
