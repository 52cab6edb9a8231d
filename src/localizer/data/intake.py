"""Making a data set's folder, data/NAME, from a person's own annotations and images."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from localizer.config import parse
from localizer.data.annotations import csv_records, read_annotations
from localizer.data.card import DATA_SET_NAME, Card

# What the columns of a CSV are usually called; the first that is there is taken.
IMAGE_NAMES = ("image", "filename", "file_name", "file", "image_path", "path", "image_id")
LABEL_NAMES = ("label", "class", "class_name", "category", "name")
BOX_NAMES = (
    ("xyxy", ("xmin", "ymin", "xmax", "ymax")),
    ("xyxy", ("x_min", "y_min", "x_max", "y_max")),
    ("xyxy", ("x1", "y1", "x2", "y2")),
    ("xyxy", ("left", "top", "right", "bottom")),
    ("xywh", ("x", "y", "w", "h")),
    ("cxcywh", ("cx", "cy", "w", "h")),
    ("cxcywh", ("x_center", "y_center", "width", "height")),
)
NEXT = "# What each key means: docs/data-sets.md\n"


def draft_card(name: str, annotations: Path, choices: dict[str, Any]) -> Card:
    """Return the card of the annotations: what `choices` says, and the rest from the CSV's header.

    choices: keys of `Card` and, below "columns", of `CsvColumns`; None stands for no choice. Raises
    ValueError, with the header, where the columns can't be told.
    """
    values = {key: value for key, value in choices.items() if value is not None and key != "columns"}
    kind = "voc" if annotations.is_dir() else "csv"
    where = "annotations" if kind == "voc" else annotations.name
    values |= {"title": name, "format": kind, "annotations": where, "images": "images"}
    if kind == "csv":
        box_format, columns = _columns(annotations, choices.get("columns") or {}, values)
        values |= {"columns": columns, "box_format": box_format}
    return parse(Card, values, where=f"data/{name}/dataset.yaml")


def unused_columns(card: Card, annotations: Path) -> list[str]:
    """Return the columns of a CSV that the card takes nothing from."""
    if card.columns is None:
        return []
    _, header = next(csv_records(annotations), (0, []))
    used = {card.columns.image, card.columns.label, *card.columns.box, card.columns.width, card.columns.height}
    return [name for name in header if name not in used]


def make_data_set(name: str, card: Card, *, annotations: Path, images: Path, root: Path = Path("data")) -> Path:
    """Make data/NAME with its card and raw/, whose files are hard links or else copies; return the folder.

    Nothing is left behind where the annotations can't be read: ValueError says why.
    """
    if not re.fullmatch(DATA_SET_NAME, name):
        raise ValueError(
            f"{name!r}: the name of a data set has letters, digits, dots, _ and -, a letter or digit first"
        )
    folder = root / name
    if folder.exists():
        raise ValueError(f"{folder}: is there already; choose another name, or remove it")
    for path in (annotations, images):
        if not path.exists():
            raise ValueError(f"{path}: no such file or folder")
    part = root / f".{name}.part"
    shutil.rmtree(part, ignore_errors=True)
    try:
        _link(annotations, part / "raw" / card.annotations, pattern="*.xml")
        _link(images, part / "raw" / card.images, pattern="**/*")
        _write_card(card, part / "dataset.yaml")
        read_annotations(card, part / "raw")
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def track(raw: Path) -> None:
    """Put raw/ under DVC's control: `dvc add`."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            repo.add(str(raw))
    except DvcException as error:
        raise ValueError(f"{raw}: not added to DVC ({error}); run `dvc add {raw}` in the project's folder") from None


def _columns(path: Path, chosen: dict[str, Any], values: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the box format and the columns: chosen, or known by their usual names."""
    _, header = next(csv_records(path), (0, []))
    columns = {key: value for key, value in chosen.items() if value is not None}
    for key, names in (("image", IMAGE_NAMES), ("label", LABEL_NAMES)):
        found = next((column for column in names if column in header), None)
        if found:
            columns.setdefault(key, found)
    known = {tuple(names): box_format for box_format, names in BOX_NAMES}
    columns.setdefault("box", next((list(names) for names in known if set(names) <= set(header)), None))
    box_format = known.get(tuple(columns["box"] or ()))
    for key in ("width", "height"):
        if key in header and key not in (columns["box"] or []):
            columns.setdefault(key, key)
    missing = [f"--{key}-column{'s' * (key == 'box')}" for key in ("image", "box") if not columns.get(key)]
    if missing:
        asked = " and ".join(missing) + (", in the order of --box-format" if "--box-columns" in missing else "")
        raise ValueError(f"{path}:1: say {asked}; the columns are {', '.join(header)}")
    return values.get("box_format") or box_format or "xyxy", columns


def _link(source: Path, target: Path, *, pattern: str) -> None:
    """Link a file, or the regular files of a folder that match the pattern, below the target."""
    for path, place in _pairs(source, target, pattern):
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path.resolve(), place)
        except OSError:  # another file system, or one without links
            shutil.copyfile(path, place)


def _pairs(source: Path, target: Path, pattern: str) -> Iterator[tuple[Path, Path]]:
    if source.is_file():
        yield source, target
    for path in sorted(source.glob(pattern)) if source.is_dir() else []:
        if path.is_file():
            yield path, target / path.relative_to(source)


def _write_card(card: Card, path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(NEXT)
        YAML(typ="safe", pure=True).dump(card.model_dump(exclude_none=True), file)
