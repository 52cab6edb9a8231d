"""Detecting which columns of a CSV contain what: by their usual names, else by all their values."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from localizer.boxes import BoxFormat
from localizer.datasets.coordinates import NUMBER
from localizer.datasets.detection.box_encoding import NamedColumns
from localizer.datasets.readers.csv import csv_records
from localizer.findings import bad_file
from localizer.images.decoding import SUFFIXES

# Usual names, in lower case; the first in the header is used.
USUAL = {
    "image": ("image", "filename", "file_name", "file", "image_path", "path", "image_id", "image_name", "imageid"),
    "label": ("label", "class", "class_name", "category", "name", "labelname"),
    "width": ("width", "image_width", "img_width"),
    "height": ("height", "image_height", "img_height"),
}
USUAL_BOX: tuple[tuple[BoxFormat, tuple[str, str, str, str]], ...] = (
    ("xyxy", ("xmin", "ymin", "xmax", "ymax")),
    ("xyxy", ("x_min", "y_min", "x_max", "y_max")),
    ("xyxy", ("x1", "y1", "x2", "y2")),
    ("xyxy", ("left", "top", "right", "bottom")),
    ("xywh", ("x", "y", "w", "h")),
    ("cxcywh", ("cx", "cy", "w", "h")),
    ("cxcywh", ("x_center", "y_center", "width", "height")),
    ("xywh", ("x", "y", "width", "height")),
)
MIN_NAMES = 0.5  # a column of images has more than this share of values that are names of images


@dataclass(frozen=True)
class DetectedColumns:
    """The columns, by the keys of `CsvColumns`; what the names of the box's columns mean; and one reason for each."""

    columns: dict[str, Any]
    named: NamedColumns
    reasons: tuple[str, ...]


def detect_columns(path: Path, given: Mapping[str, Any], *, images: Path | None = None) -> DetectedColumns:
    """Return the columns of a CSV: as given, else by name, else by the values of all rows.

    Raises BadFileError, with the header, where those of image or box can't be detected.
    """
    line, header = next(csv_records(path), (1, []))
    columns = {key: value for key, value in given.items() if value is not None}
    why = dict.fromkeys(columns, "as given")
    by_name = _by_name(header, columns)
    columns, why = columns | by_name, why | dict.fromkeys(by_name, "by its name")
    if not {"image", "box"} <= set(columns):
        for key, (value, reason) in _by_values(path, header, columns, images).items():
            columns[key], why[key] = value, reason
    _check_complete(path, line, header, columns)
    formats = {names: box_format for box_format, names in USUAL_BOX}
    named = formats.get(tuple(name.lower() for name in columns["box"]))
    text = f"the columns are called {_listed(columns['box'])}"
    reasons = [f"{key} column: {_listed(columns[key])}, {reason}" for key, reason in why.items()]
    return DetectedColumns(columns, NamedColumns(named, text), tuple(reasons))


def _by_name(header: list[str], columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that are not yet known and that have a usual name."""
    spelled = {name.lower(): name for name in reversed(header)}
    box = next((names for _, names in USUAL_BOX if set(names) <= set(spelled)), None)
    found: dict[str, Any] = {"box": [spelled[name] for name in box]} if box and "box" not in columns else {}
    used = {*columns.get("box", ()), *found.get("box", ())}
    for key, names in USUAL.items():
        name = next((spelled[name] for name in names if name in spelled and spelled[name] not in used), None)
        if name and key not in columns:
            found[key] = name
    return {key: found[key] for key in ("image", "label", "box", "width", "height") if key in found}


def _by_values(
    path: Path, header: list[str], columns: Mapping[str, Any], images: Path | None
) -> dict[str, tuple[Any, str]]:
    """Return the columns of image and box that are not yet known, each with the reason."""
    used = {name for value in columns.values() for name in (value if isinstance(value, list) else [value])}
    free = [index for index, name in enumerate(header) if name not in used]
    names = _image_names(images)
    numeric, named, rows = set(free), dict.fromkeys(free, 0), 0
    for _, fields in csv_records(path):
        rows += 1
        for index in free if rows > 1 and len(fields) == len(header) else []:
            numeric -= set() if re.match(NUMBER, fields[index]) else {index}
            named[index] += fields[index] in names or PurePosixPath(fields[index]).suffix.lower() in SUFFIXES
    found: dict[str, tuple[Any, str]] = {}
    best = max(free, key=lambda index: named[index], default=None)
    if "image" not in columns and best is not None and named[best] > MIN_NAMES * (rows - 1):
        found["image"] = header[best], f"since {named[best]} of its {rows - 1} values are names of images"
    if "box" not in columns and len(numeric) == 4 and rows > 1:
        found["box"] = [header[index] for index in sorted(numeric)], "the four columns of numbers that remain"
    return found


def _image_names(images: Path | None) -> set[str]:
    if images is None or not images.is_dir():
        return set()
    return {file.relative_to(images).as_posix() for file in images.rglob("*") if file.suffix.lower() in SUFFIXES}


def _check_complete(path: Path, line: int, header: list[str], columns: Mapping[str, Any]) -> None:
    """Raise BadFileError if the image's or the box's columns are unknown."""
    file = path.as_posix()
    missing = [f"--{key}-column{'s' * (key == 'box')}" for key in ("image", "box") if key not in columns]
    if missing and len(header) == 1 and ";" in header[0]:
        raise bad_file(file, "semicolons", line=line, got="semicolons", expected="commas", fix="save it with commas")
    if missing:
        fix = f"give {' and '.join(missing)}" + (", in the order of --box-format" * ("--box-columns" in missing))
        got, expected = (
            f"the columns {', '.join(header)}",
            "recognizable names of the image column and of the four box columns",
        )
        raise bad_file(file, "columns_unknown", line=line, got=got, expected=expected, fix=fix)


def _listed(value: str | Iterable[str]) -> str:
    return value if isinstance(value, str) else ", ".join(value)
