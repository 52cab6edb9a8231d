"""Reading annotation files: one row per box, with its file and line, values as text."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pandas as pd

from localizer.dataset import DatasetConfig
from localizer.datasets.readers import coco, csv, voc, yolo
from localizer.datasets.readers.row import BackgroundImage, Ignored, Reader, Row
from localizer.findings import bad_file
from localizer.tables import Table

READERS: dict[str, Reader] = {"csv": csv, "voc": voc, "coco": coco, "yolo": yolo}
COLUMNS = list(Row._fields)
TEXTS = dict.fromkeys([name for name in COLUMNS if name != "line"], "str")
CHUNK = 50_000  # rows turned into a table at a time: Python's own strings take ten times the memory


@dataclass(frozen=True)
class Annotations:
    """One row per box, with COLUMNS, all text but `line`; the images without a box; and what is not read, in words."""

    boxes: Table
    background: tuple[BackgroundImage, ...]
    ignored: tuple[str, ...]


def read_annotations(config: DatasetConfig, source: Path, *, images: Path | None) -> Annotations:
    """Return the contents of annotation files; a YOLO file's image is searched for in `images`.

    BadFileError, a ValueError, lists the faults of file or schema, with their lines.
    """
    if not source.exists():
        expected, fix = f"the {config.format} annotations", "is the name right? fetch them: `dvc pull`"
        fix += ", or `dvc repro` of the data set's dvc.yaml"
        raise bad_file(source.as_posix(), "file_missing", got="no such file", expected=expected, fix=fix)
    others: list[BackgroundImage | Ignored] = []

    def rows() -> Iterator[Row]:
        for item in READERS[config.format].read(source, config, images):
            if isinstance(item, Row):
                yield item
            else:
                others.append(item)

    boxes, chunks = rows(), list[Table]()
    while chunk := list(islice(boxes, CHUNK)):
        chunks.append(pd.DataFrame(chunk, columns=COLUMNS).astype(TEXTS))
    background = tuple(item for item in others if isinstance(item, BackgroundImage))
    ignored = tuple(item.content for item in others if isinstance(item, Ignored))
    chunks = chunks or [pd.DataFrame(columns=COLUMNS).astype(TEXTS)]
    return Annotations(pd.concat(chunks, ignore_index=True), background, ignored)


def read_boxes(config: DatasetConfig, source: Path, *, images: Path | None) -> Table:
    """Return the boxes of `read_annotations`; BadFileError, too, where there is none."""
    boxes = read_annotations(config, source, images=images).boxes
    if boxes.empty:
        expected, fix = "one row per box", "is it the right file?"
        raise bad_file(source.as_posix(), "no_rows", got="not one box", expected=expected, fix=fix)
    return boxes


def line_or_element(boxes: Table) -> "pd.Series[str]":
    """Return where each box stands in its file, as text: the line or, in a JSON file, the element."""
    return boxes["element"].where(boxes["element"] != "", boxes["line"].astype("str"))


def read_columns(config: DatasetConfig, source: Path) -> Table:
    """Return one row per column of a CSV's header: file, line, column, and used_as, empty where nothing uses it."""
    table = []
    if config.format == "csv":
        line, header = next(csv.csv_records(source), (1, []))
        uses = {name: key for key, name in csv.used_columns(config).items()}
        table = [(source.as_posix(), line, name, uses.get(name, "")) for name in header]
    return pd.DataFrame(table, columns=["file", "line", "column", "used_as"])


def detect_format(path: Path) -> str:
    """Return the format of a file or folder; ValueError where it doesn't exist, or no or several formats fit."""
    if not path.exists():
        raise ValueError(f"{path}: no such file or folder")
    fitting = [name for name, reader in READERS.items() if reader.sniff(path)]
    if len(fitting) == 1:
        return fitting[0]
    suffixes = Counter(file.suffix or "no suffix" for file in path.rglob("*") if file.is_file())
    got = ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common(5)) or "nothing"
    expected, fix = "a folder of Pascal VOC's .xml files or one of YOLO's .txt files", "name the folder of one format"
    raise bad_file(path.as_posix(), "format_unknown", got=got, expected=expected, fix=fix)
