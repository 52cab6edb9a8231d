"""Detecting which columns of a table contain what: by their usual names and their values together."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from localizer.boxes import BoxFormat
from localizer.datasets.detection.box_encoding import NamedColumns
from localizer.datasets.detection.column_values import (
    MAX_CLASSES,
    is_class,
    is_constant,
    is_index,
    is_numeric,
    is_score,
)
from localizer.datasets.detection.usual_columns import box_by_names, called, format_of, plain
from localizer.datasets.image_names import last_name, last_names
from localizer.datasets.readers.table import split_list, split_object
from localizer.findings import bad_file
from localizer.tables import Table

SPLITS = re.compile(r"(?i)^(train|training|val|valid|validate|validation|dev|test|testing|calibration|unassigned|)$")
NO_LABEL = re.compile("source|comment|note|author|annotator|user|worker|date|time|created|updated|url|path|uuid|status")
IMAGE_SHARE = 0.5  # a column of images has more than this share of values that are names of images


@dataclass(frozen=True)
class DetectedColumns:
    """The columns, by the keys of `CsvColumns`; what the names of the box's columns mean; and one reason for each."""

    columns: dict[str, Any]
    named: NamedColumns
    reasons: tuple[str, ...]


@dataclass
class _Search:
    """A table under search: its columns by name, text; what is found so far, and why."""

    table: Table
    files: set[str]
    found: dict[str, Any]
    why: dict[str, str]
    named: NamedColumns = field(default_factory=NamedColumns)

    def free(self) -> list[str]:
        """Return the columns that nothing uses yet, but for blank ones."""
        used = {name for value in self.found.values() for name in (value if isinstance(value, list) else [value])}
        used |= {re.split(r"[\[.]", name)[0] for name in used}
        return [str(name) for name in self.table if name not in used and (self.table[name].str.strip() != "").any()]

    def take(self, key: str, value: Any, reason: str) -> None:
        self.found[key], self.why[key] = value, reason


def detect_columns(
    file: Path, line: int | None, table: Table, given: Mapping[str, Any], *, images: Sequence[str] = ()
) -> DetectedColumns:
    """Return the columns of a table of texts: as given, else by name and values.

    images: the names of the files. BadFileError, with the header, where those of image or box can't be detected.
    """
    given = {key: value for key, value in given.items() if value is not None}
    search = _Search(table, last_names(images), dict(given), dict.fromkeys(given, "as given"))
    if "box" in search.found:
        box = search.found["box"]
        search.named = NamedColumns(format_of(box), f"the columns are called {_listed(box)}")
    for find in (_find_box_by_name, _find_image, _find_split, _find_label, _find_size, _find_box_by_values):
        find(search)
    _check_complete(file, line, search)
    keys = [key for key in ("image", "label", "box", "split", "width", "height", "group") if key in search.found]
    reasons = [f"{key} column: {_listed(search.found[key])}, {search.why[key]}" for key in keys]
    return DetectedColumns({key: search.found[key] for key in keys}, search.named, tuple(reasons))


def _find_box_by_name(search: _Search) -> None:
    """Find four columns, or four values of a column of objects, by name."""
    if "box" in search.found:
        return
    if found := box_by_names([*search.table, *_values_of_objects(search.table)]):
        box_format, box = found
        search.take("box", box, "by their names")
        search.named = NamedColumns(box_format, f"the columns are called {_listed(box)}")


def _find_image(search: _Search) -> None:
    """Find the column of the images: the one called so, unless others are names of files and it is not."""
    if "image" in search.found:
        return
    free = search.free()
    shares = {name: _shares_of_images(search.table[name], search.files) for name in free}
    named = called("image", free)
    best = max(free, key=lambda name: (shares[name][0] > IMAGE_SHARE, name == named, max(shares[name])), default=None)
    if best and best != named and max(shares[best]) > IMAGE_SHARE:
        count = round(max(shares[best]) * len(search.table))
        search.take("image", best, f"since {count} of its {len(search.table)} values are names of images")
    elif named:
        search.take("image", named, "by its name")


def _find_split(search: _Search) -> None:
    if "split" in search.found:
        return
    free = search.free()
    label = called("label", free)  # an object may be called a train
    texts = {name: search.table[name].str.strip().drop_duplicates() for name in free if name != label}
    fitting = [name for name, values in texts.items() if values.str.match(SPLITS.pattern).all() and len(values) <= 8]
    if name := next(iter(fitting), None):
        search.take("split", name, "since its values are names of splits")


def _find_label(search: _Search) -> None:
    """Find the column called label or class, else the only one of texts, or the only one of these that repeat."""
    if "label" in search.found:
        return
    free = search.free()
    if name := called("label", free):
        search.take("label", name, "by its name")
        return
    texts = [
        name
        for name in free
        if not is_numeric(search.table[name]) and not search.table[name].str.lstrip().str.startswith(("{", "[")).any()
    ]
    texts = [name for name in texts if not NO_LABEL.search(plain(name))]
    repeating = [name for name in texts if search.table[name].nunique() < len(search.table)]
    only = texts if len(texts) == 1 else repeating if len(repeating) == 1 else []
    if only and search.table[only[0]].nunique() <= max(MAX_CLASSES, len(search.table) // 2):
        search.take("label", only[0], "the only column of texts" if len(texts) == 1 else "the only text that repeats")


def _find_size(search: _Search) -> None:
    for key, start, end in (("width", 0, 2), ("height", 1, 3)):
        if (
            key not in search.found
            and (name := called(key, search.free()))
            and not _has_sides(search, name, start, end)
        ):
            search.take(key, name, "by its name")


def _has_sides(search: _Search, name: str, start: int, end: int) -> bool:
    """Return whether a column has the sides of the boxes, not those of the images."""
    box = search.found.get("box", [])
    if search.named.box_format != "xyxy" or not set(box) <= set(search.table) or len(search.table) < 3:
        return False
    numbers = search.table[[box[start], box[end], name]].apply(pd.to_numeric, errors="coerce").to_numpy()
    return bool((abs(numbers[:, 1] - numbers[:, 0] - numbers[:, 2]) <= 1).mean() > IMAGE_SHARE)


def _find_box_by_values(search: _Search) -> None:
    """Find the box in a column of lists of four numbers, or in the four columns of numbers that remain."""
    if "box" in search.found:
        return
    free, rows = search.free(), search.table
    lists = [name for name in free if _has_lists(rows[name])]
    lists = [name for name in lists if "box" in plain(name)] or lists
    if len(lists) == 1:
        _take_list(search, lists[0])
        return
    numeric = [name for name in free if is_numeric(rows[name])]
    if len(numeric) == 6 and (size := _size_of(rows, numeric)):
        search.take("width", size[0], "since all boxes end before it")
        search.take("height", size[1], "since all boxes end before it")
        numeric = [name for name in numeric if name not in size]
    for drop in (is_index, is_constant, is_class, partial(is_score, table=rows[numeric])):
        extra = [name for name in numeric if drop(rows[name])]
        numeric = [name for name in numeric if name not in extra] if len(numeric) - len(extra) >= 4 else numeric
    if len(numeric) == 4:
        search.take("box", numeric, "the four columns of numbers that remain")


def _has_lists(column: "pd.Series[str]") -> bool:
    """Return whether nine of ten values that are not blank are lists of four numbers; the others are findings."""
    filled = column[column.str.strip() != ""]
    return len(filled) > 0 and filled.map(lambda text: len(split_list(text)) == 4).mean() >= 0.9


def _take_list(search: _Search, name: str) -> None:
    order = (1, 0, 3, 2) if plain(name) == "box2d" else (0, 1, 2, 3)  # of models that answer y, x, y, x
    search.take("box", [f"{name}[{index}]" for index in order], f"the four numbers in {name}")
    usual: BoxFormat | None = "xyxy" if plain(name) == "box2d" else "xywh" if "bbox" in plain(name) else None
    search.named = NamedColumns(usual, f"the column is called {name}", weak=True)


def _size_of(rows: Table, numeric: list[str]) -> list[str]:
    """Return the two of six columns beside each other that may be the image's width and height: the others fit in."""
    numbers = rows[numeric].apply(lambda column: pd.to_numeric(column.str.replace(",", "."), errors="coerce")).dropna()
    found = []
    for first in range(0, 6, 2):
        sides, box = numbers.iloc[:, first : first + 2], numbers.drop(columns=numeric[first : first + 2]).to_numpy()
        width, height = sides.to_numpy().T
        corners = (box[:, 2] <= width) & (box[:, 3] <= height) & (box[:, 0] < width) & (box[:, 1] < height)
        whole = (sides.to_numpy() >= 16) & (sides.to_numpy() % 1 == 0)
        if len(numbers) and corners.all() and whole.all():
            found.append(numeric[first : first + 2])
    return found[0] if len(found) == 1 else []


def _values_of_objects(table: Table) -> Iterator[str]:
    """Yield the names of the values in columns of objects: `box.x`."""
    for name in table:
        first = next((text for text in table[name] if text.strip()), "")
        yield from (f"{name}.{key}" for key in split_object(first))


def _shares_of_images(column: "pd.Series[str]", files: set[str]) -> tuple[float, float]:
    """Return the shares of a column's values that have the suffix of an image, and that are names of files."""
    names = {value: last_name(value) for value in column.unique()}
    with_suffix = column.isin({value for value, (_, is_image) in names.items() if is_image}).mean()
    known = column.isin({value for value, (last, _) in names.items() if last and last in files}).mean()
    return float(with_suffix), float(known)


def _check_complete(file: Path, line: int | None, search: _Search) -> None:
    """Raise BadFileError if the image's or the box's columns are unknown."""
    missing = [f"--{key}-column{'s' * (key == 'box')}" for key in ("image", "box") if key not in search.found]
    if missing:
        fix = f"pass {' and '.join(missing)}" + (", in the order of --box-format" * ("--box-columns" in missing))
        got = f"the columns {', '.join(map(str, search.table))}"
        expected = "columns with the image's name and the four numbers of a box"
        raise bad_file(file.as_posix(), "columns_unknown", line=line, got=got, expected=expected, fix=fix)


def _listed(value: str | Iterable[str]) -> str:
    return value if isinstance(value, str) else ", ".join(value)
