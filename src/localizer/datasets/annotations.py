"""Reading annotation files: one row per box, with its file and line, values as text."""

import posixpath
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

import pandas as pd

from localizer.dataset import DatasetConfig
from localizer.datasets.image_names import renamed
from localizer.datasets.readers import (
    coco,
    createml,
    csv,
    cvat,
    dlib,
    huggingface,
    kitti,
    labelbox,
    labelme,
    labelstudio,
    records,
    sagemaker,
    supervisely,
    via,
    voc,
    vott,
    yolo,
)
from localizer.datasets.readers.json_text import documents
from localizer.datasets.readers.row import BackgroundImage, Ignored, Item, Reader, Row
from localizer.datasets.readers.table import Layout, json_records
from localizer.datasets.readers.xml_text import elements
from localizer.findings import BadFileError, Finding, bad_file, raise_if_any
from localizer.tables import Table

READERS: dict[str, Reader] = {
    "voc": voc,
    "coco": coco,
    "yolo": yolo,
    "labelstudio": labelstudio,
    "cvat": cvat,
    "labelme": labelme,
    "via": via,
    "vott": vott,
    "createml": createml,
    "supervisely": supervisely,
    "sagemaker": sagemaker,
    "labelbox": labelbox,
    "huggingface": huggingface,
    "kitti": kitti,
    "dlib": dlib,
    "csv": csv,
    "records": records,
}
JSON = (".json", ".jsonl", ".ndjson")
BELOW = "**/"  # begins the pattern of a format whose reader takes the folder itself
NO_ANNOTATIONS = re.compile(r"(?i)^(readme.*|licen[cs]e.*|requirements.*|data\.yaml|\..*)$")
SPLIT_FOLDER = re.compile(r"(?i)^(train|training|valid|validation|val|test|testing)$")
COLUMNS = list(Row._fields)
TEXTS = dict.fromkeys([name for name in COLUMNS if name != "line"], "str")
CHUNK = 50_000  # rows turned into a table at a time: Python's own strings take ten times the memory


@dataclass(frozen=True)
class Annotations:
    """One row per box, with COLUMNS, all text but `line`; the images without a box; and what is not read, in words."""

    boxes: Table
    background: tuple[BackgroundImage, ...]
    ignored: tuple[str, ...]

    def names(self) -> list[str]:
        """Return the names of all annotated images, those of each box and of each image without one."""
        return [*self.boxes["image"], *(item.image for item in self.background)]

    def left_out(self) -> list[str]:
        """Return in words what will not be used: images annotated as empty, and content that is not read."""
        count = len({item.image for item in self.background})
        empty = [f"{count} image{'s are' if count > 1 else ' is'} annotated as empty, and left out"] if count else []
        return [*empty, *(f"not read: {content}" for content in self.ignored)]


def read_annotations(config: DatasetConfig, source: Path, *, images: Path | None) -> Annotations:
    """Return the contents of annotation files; images are called as their files are below `images`.

    BadFileError, a ValueError, lists the faults of file or schema, with their lines.
    """
    if not source.exists():
        expected = f"annotations of the format {config.format}"
        fix = "correct the name, or fetch them: `dvc pull`, or `dvc repro` of the data set's dvc.yaml"
        raise bad_file(source.as_posix(), "file_missing", got="nothing", expected=expected, fix=fix)
    others: list[BackgroundImage | Ignored] = []

    def rows() -> Iterator[Row]:
        for item in _items(config, source, images):
            if isinstance(item, Row):
                yield item
            else:
                others.append(item)

    boxes, chunks = rows(), list[Table]()
    while chunk := list(islice(boxes, CHUNK)):
        chunks.append(pd.DataFrame(chunk, columns=COLUMNS).astype(TEXTS))
    table = _joined(chunks)
    background = tuple(item for item in others if isinstance(item, BackgroundImage))
    if config.image_names is not None:
        names = renamed([*table["image"], *(item.image for item in background)], images, config.image_names)
        table["image"] = table["image"].map(names)
        background = tuple(item._replace(image=names[item.image]) for item in background)
    return Annotations(table, background, tuple(_summed(item.content for item in others if isinstance(item, Ignored))))


def _joined(chunks: list[Table]) -> Table:
    table = pd.concat(chunks or [pd.DataFrame(columns=COLUMNS).astype(TEXTS)], ignore_index=True)
    if table["line"].dtype == float:  # of JSON Lines beside JSON
        table["line"] = table["line"].astype("Int64")
    return table


def read_boxes(config: DatasetConfig, source: Path, *, images: Path | None) -> Table:
    """Return the boxes of `read_annotations`; BadFileError, too, where there is none."""
    return check_any(read_annotations(config, source, images=images).boxes, source)


def check_any(boxes: Table, source: Path) -> Table:
    """Return the boxes; BadFileError where there is none."""
    if boxes.empty:
        expected, fix = "one row per box", "is it the right file?"
        raise bad_file(source.as_posix(), "no_rows", got="none", expected=expected, fix=fix)
    return boxes


def _items(config: DatasetConfig, source: Path, images: Path | None) -> Iterator[Item]:
    """Yield the items of a file, or of all files of the format in a folder, each with the split of its folder."""
    reader = READERS[config.format]
    if not source.is_dir() or reader.PATTERN.startswith(BELOW):
        yield from _with_splits(reader.read(source, config, images), source)
        return
    faults = list[Finding]()
    files = annotation_files(config.format, source)
    for file in files:
        try:
            yield from _below(reader.read(file, config, images), file, source)
        except BadFileError as error:
            faults += error.findings
    others = [file for file in candidates(source, reader.PATTERN) if file not in files]
    faults += [finding for file in others for finding in _broken(file)]
    raise_if_any(faults)
    if others:
        yield Ignored(f"{len(others)} other files: {', '.join(file.name for file in others[:3])}")


def _below(items: Iterator[Item], file: Path, source: Path) -> Iterator[Item]:
    """Yield the items of a file in a folder, images called as from there, with the split of the file's folder."""
    folder = file.parent.relative_to(source).as_posix()
    for item in _with_splits(items, source):
        if isinstance(item, Ignored) or folder == ".":
            yield item
        else:
            yield item._replace(image=posixpath.join(folder, item.image))


def _broken(file: Path) -> tuple[Finding, ...]:
    """Return what is wrong with a file that no reader takes."""
    try:
        if file.suffix.lower() in JSON:
            documents(file)
        elif file.suffix.lower() == ".xml":
            elements(file, expected="XML")
    except BadFileError as error:
        return error.findings
    return ()


def annotation_files(kind: str, source: Path) -> list[Path]:
    """Return the file itself, or the files of a format in a folder, sorted; BadFileError where there is none."""
    if not source.is_dir():
        return [source]
    reader = READERS[kind]
    found = [file for file in candidates(source, reader.PATTERN) if reader.sniff(file)]
    if not found:
        expected, fix = f"files of the format {kind} in the folder", "is it the right folder?"
        raise bad_file(source.as_posix(), "no_files", got="none", expected=expected, fix=fix)
    return found


def _with_splits(items: Iterator[Item], source: Path) -> Iterator[Item]:
    """Yield the items, rows without a split with that of the folder `train`, `valid` or `test` that they lie in."""

    @cache
    def split(file: str) -> str:
        parts = Path(file).relative_to(source).parts[:-1]
        return next((part for part in parts if SPLIT_FOLDER.match(part)), "")

    if not source.is_dir():
        yield from items
        return
    for item in items:
        if isinstance(item, Row) and not item.given_split:
            yield item._replace(given_split=split(item.file))
        else:
            yield item


def candidates(folder: Path, pattern: str) -> list[Path]:
    """Return the files below a folder that may be annotations of a pattern, sorted."""
    found = folder.rglob(pattern.removeprefix(BELOW))
    return sorted(file for file in found if file.is_file() and not NO_ANNOTATIONS.match(file.name))


def _summed(contents: Iterator[str]) -> Iterator[str]:
    """Yield contents that several files have once, their counts added: `3 polygon shapes`."""
    counts = Counter[str]()
    for content in contents:
        number, _, kind = content.partition(" ")
        counts[kind if number.isdecimal() else content] += int(number) if number.isdecimal() else 0
    yield from (f"{count} {kind}" if count else kind for kind, count in counts.items())


def line_or_element(boxes: Table) -> "pd.Series[str]":
    """Return where each box stands in its file, as text: the line or, in a JSON file, the element."""
    return boxes["element"].where(boxes["element"] != "", boxes["line"].astype("str"))


def read_columns(config: DatasetConfig, source: Path) -> Table:
    """Return one row per column of a table's header: file, line, column, and used_as, empty where nothing uses it.

    line: empty where there is no header: of JSON, and of a CSV without one.
    """
    table = []
    if config.columns:
        used = csv.used_columns(config.columns)
        uses = {name: key for key, name in used.items()} | {csv.column_of(name): key for key, name in used.items()}
        file = annotation_files(config.format, source)[0]
        line, header = next(_records(config, file), (1, []))
        table = [(file.as_posix(), line or "", name, uses.get(name, "")) for name in header]
    return pd.DataFrame(table, columns=["file", "line", "column", "used_as"])


def _records(config: DatasetConfig, file: Path) -> csv.Records:
    return json_records(file) if config.format == "records" else csv.csv_records(file, Layout.of(config))
