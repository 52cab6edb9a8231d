"""Reading annotations, as they stand: one row a box, with its file and line, values as text."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pandas as pd

from localizer.dataset import DatasetConfig
from localizer.datasets.readers.coco import read_coco
from localizer.datasets.readers.csv import csv_records, read_csv, used_columns
from localizer.datasets.readers.row import Row
from localizer.datasets.readers.voc import read_voc
from localizer.datasets.readers.yolo import read_yolo
from localizer.findings import BadFileError, critical

COLUMNS = list(Row._fields)
PORTION = 50_000  # rows turned into a table at a time: Python's own strings take ten times the memory


def read_annotations(card: DatasetConfig, raw: Path) -> pd.DataFrame:
    """Return the boxes of a data set's raw/: see `read_boxes`."""
    return read_boxes(card, raw / card.annotations, images=raw / card.images)


def read_boxes(card: DatasetConfig, source: Path, *, images: Path | None) -> pd.DataFrame:
    """Return a row a box, with COLUMNS, all text but `line`; a YOLO file's image is looked up in `images`.

    Raises BadFileError, a ValueError, that lists the faults of file or schema, with their lines.
    """
    if not source.exists():
        expected, fix = (
            f"the {card.format} annotations",
            "is it named right, and fetched: `dvc pull`, or `dvc repro DVC.YAML`?",
        )
        raise BadFileError(
            [critical(source.as_posix(), "file_missing", got="no such file", expected=expected, fix=fix)]
        )
    rows = _rows(card, source, images=images)
    portions = []
    while portion := list(islice(rows, PORTION)):
        portions.append(pd.DataFrame(portion, columns=COLUMNS).astype(dict.fromkeys(_texts(), "str")))
    if not portions:
        expected, fix = "a row a box", "is it the right file?"
        raise BadFileError([critical(source.as_posix(), "no_rows", got="not one box", expected=expected, fix=fix)])
    return pd.concat(portions, ignore_index=True)


def read_columns(card: DatasetConfig, source: Path) -> pd.DataFrame:
    """Return a row a column of a CSV's header: file, line, column, and used_as, empty where nothing uses it."""
    table = []
    if card.columns is not None:
        line, header = next(csv_records(source), (1, []))
        uses = {name: key for key, name in used_columns(card.columns).items()}
        table = [(source.as_posix(), line, name, uses.get(name, "")) for name in header]
    return pd.DataFrame(table, columns=["file", "line", "column", "used_as"])


def _rows(card: DatasetConfig, source: Path, *, images: Path | None) -> Iterator[Row]:
    if card.columns is not None:
        return read_csv(source, card.columns)
    if card.format == "coco":
        return read_coco(source)
    return read_yolo(source, images or source) if card.format == "yolo" else read_voc(source)


def _texts() -> list[str]:
    return [name for name in COLUMNS if name != "line"]
