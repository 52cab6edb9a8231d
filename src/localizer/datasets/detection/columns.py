"""Which columns of a CSV hold what: by their usual names, else by all their values."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from localizer.boxes import BoxFormat
from localizer.datasets.coordinates import NUMBER
from localizer.datasets.readers.csv import csv_records
from localizer.findings import BadFileError, critical
from localizer.images.decoding import SUFFIXES

# What columns are usually called, in small letters; the first that is there is taken.
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
MOST = 0.5  # of a column's values must be images' names


@dataclass(frozen=True)
class ColumnGuess:
    """The columns, by the keys of `CsvColumns`; the format that the names of the box's mean, None if they mean none."""

    columns: dict[str, Any]
    named: BoxFormat | None
    reasons: tuple[str, ...]


def guess_columns(path: Path, chosen: Mapping[str, Any], *, images: Path | None = None) -> ColumnGuess:
    """Return the columns of a CSV: as chosen, else by name, else by the values of all rows.

    Raises BadFileError, with the header, where the image's or the box's can't be told.
    """
    line, header = next(csv_records(path), (1, []))
    columns = {key: value for key, value in chosen.items() if value is not None}
    reasons = [f"{key} column: {_listed(value)}, as told" for key, value in columns.items()]
    by_name = _by_name(header, columns)
    reasons += [f"{key} column: {_listed(value)}, by its name" for key, value in by_name.items()]
    columns |= by_name
    if not {"image", "box"} <= set(columns):
        found = _by_values(path, header, columns, images)
        reasons += [f"{key} column: {_listed(value)}, {why}" for key, (value, why) in found.items()]
        columns |= {key: value for key, (value, _) in found.items()}
    _ask_for_missing(path, line, header, columns)
    usual = {names: box_format for box_format, names in USUAL_BOX}
    return ColumnGuess(columns, usual.get(tuple(name.lower() for name in columns["box"])), tuple(reasons))


def _by_name(header: list[str], columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that are not yet known and that have a usual name."""
    spelt = {name.lower(): name for name in reversed(header)}
    found: dict[str, Any] = {}
    if "box" not in columns:
        box = next((names for _, names in USUAL_BOX if set(names) <= set(spelt)), None)
        found |= {"box": [spelt[name] for name in box]} if box else {}
    taken = {*columns.get("box", ()), *found.get("box", ())}
    for key, names in USUAL.items():
        name = next((spelt[name] for name in names if name in spelt and spelt[name] not in taken), None)
        if name and key not in columns:
            found[key] = name
    return {key: found[key] for key in ("image", "label", "box", "width", "height") if key in found}


def _by_values(
    path: Path, header: list[str], columns: Mapping[str, Any], images: Path | None
) -> dict[str, tuple[Any, str]]:
    """Return the columns of image and box that names don't tell, each with the reason."""
    used = {name for value in columns.values() for name in (value if isinstance(value, list) else [value])}
    free = [place for place, name in enumerate(header) if name not in used]
    there = _image_names(images)
    numeric, named, rows = set(free), dict.fromkeys(free, 0), 0
    for _, fields in csv_records(path):
        rows += 1
        for place in free if rows > 1 and len(fields) == len(header) else []:
            numeric -= set() if re.match(NUMBER, fields[place]) else {place}
            named[place] += fields[place] in there or PurePosixPath(fields[place]).suffix.lower() in SUFFIXES
    found: dict[str, tuple[Any, str]] = {}
    best = max(free, key=lambda place: named[place], default=None)
    if "image" not in columns and best is not None and named[best] > MOST * (rows - 1):
        found["image"] = header[best], f"since {named[best]} of its {rows - 1} values are names of images"
    numbers = sorted(numeric) if rows > 1 else []
    if "box" not in columns and len(numbers) == 4:
        found["box"] = [header[place] for place in numbers], "the four columns of numbers that remain"
    return found


def _image_names(images: Path | None) -> set[str]:
    if images is None or not images.is_dir():
        return set()
    return {file.relative_to(images).as_posix() for file in images.rglob("*") if file.suffix.lower() in SUFFIXES}


def _ask_for_missing(path: Path, line: int, header: list[str], columns: Mapping[str, Any]) -> None:
    file = path.as_posix()
    missing = [f"--{key}-column{'s' * (key == 'box')}" for key in ("image", "box") if key not in columns]
    if missing and len(header) == 1 and ";" in header[0]:
        told = {"got": "semicolons", "expected": "commas", "fix": "save it with commas"}
        raise BadFileError([critical(file, "semicolons", line=line, **told)])
    if missing:
        fix = f"say {' and '.join(missing)}" + (", in the order of --box-format" * ("--box-columns" in missing))
        told = {"got": f"the columns {', '.join(header)}", "expected": "known names for an image's and a box's"}
        raise BadFileError([critical(file, "columns_unknown", line=line, fix=fix, **told)])


def _listed(value: str | Iterable[str]) -> str:
    return value if isinstance(value, str) else ", ".join(value)
