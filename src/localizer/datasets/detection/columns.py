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
from localizer.datasets.detection.usual_columns import USUAL_BOX, called, format_of, plain, shortened
from localizer.datasets.image_names import last_name, last_names
from localizer.datasets.readers.table import split_list, split_object
from localizer.findings import bad_file
from localizer.tables import Table

SPLITS = re.compile(r"(?i)^(train|training|val|valid|validate|validation|dev|test|testing|calibration|unassigned|)$")
NO_LABEL = re.compile("source|comment|note|author|annotator|user|worker|date|time|created|updated|url|path|uuid|status")
NUMERIC = r"\s*[+-]?(?:[0-9]+[.,]?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*"
IMAGE_SHARE = 0.5  # a column of images has more than this share of values that are names of images
FEW = 100  # labels at most in a column of class numbers


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
    file: Path, line: int, table: Table, given: Mapping[str, Any], *, images: Sequence[str] = ()
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
    names = [*search.table, *_values_of_objects(search.table)]
    spelled = {short: name for name in reversed(names) for short in shortened(name)}
    for box_format, usual in USUAL_BOX:
        if set(usual) <= set(spelled):
            box = [spelled[name] for name in usual]
            search.take("box", box, "by their names")
            search.named = NamedColumns(box_format, f"the columns are called {_listed(box)}")
            return


def _find_image(search: _Search) -> None:
    """Find the column of the images: the one called so, unless others are names of files and it is not."""
    if "image" in search.found:
        return
    free = search.free()
    shares = {name: _share_of_images(search.table[name], search.files) for name in free}
    named = called("image", free)
    best = max(free, key=shares.__getitem__, default=None)
    if named and (best is None or shares[named] > IMAGE_SHARE or shares[best] <= IMAGE_SHARE):
        search.take("image", named, "by its name")
    elif best is not None and shares[best] > IMAGE_SHARE:
        count = round(shares[best] * len(search.table))
        search.take("image", best, f"since {count} of its {len(search.table)} values are names of images")


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
    texts = [name for name in free if not _is_numeric(search.table[name]) and not _is_nested(search.table[name])]
    texts = [name for name in texts if not NO_LABEL.search(plain(name))]
    repeating = [name for name in texts if search.table[name].nunique() < len(search.table)]
    only = texts if len(texts) == 1 else repeating if len(repeating) == 1 else []
    if only and search.table[only[0]].nunique() <= max(FEW, len(search.table) // 2):
        search.take("label", only[0], "the only column of texts" if len(texts) == 1 else "the only text that repeats")


def _find_size(search: _Search) -> None:
    for key in ("width", "height"):
        if key not in search.found and (name := called(key, search.free())):
            search.take(key, name, "by its name")


def _find_box_by_values(search: _Search) -> None:
    """Find the box in a column of lists of four numbers, or in the four columns of numbers that remain."""
    if "box" in search.found:
        return
    free, rows = search.free(), search.table
    for name in free:
        filled = rows[name][rows[name].str.strip() != ""]
        if len(filled) and filled.map(lambda text: len(split_list(text)) == 4).all():
            search.take("box", [f"{name}[{index}]" for index in range(4)], f"the four numbers in {name}")
            usual: BoxFormat | None = "xywh" if "bbox" in plain(name) else None
            search.named = NamedColumns(usual, f"the column is called {name}", weak=True)
            return
    numeric = [name for name in free if _is_numeric(rows[name])]
    if len(numeric) == 6 and (size := _size_of(rows, numeric)):
        search.take("width", size[0], "since all boxes end before it")
        search.take("height", size[1], "since all boxes end before it")
        numeric = [name for name in numeric if name not in size]
    for drop in (_is_index, _is_constant, _is_class, partial(_is_score, table=rows[numeric])):
        extra = [name for name in numeric if drop(rows[name])]
        numeric = [name for name in numeric if name not in extra] if len(numeric) - len(extra) >= 4 else numeric
    if len(numeric) == 4:
        search.take("box", numeric, "the four columns of numbers that remain")


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


def _share_of_images(column: "pd.Series[str]", files: set[str]) -> float:
    names = {value: last_name(value) for value in column.unique()}
    known = {value for value, (last, is_image) in names.items() if is_image or (last and last in files)}
    return float(column.isin(known).mean())


def _is_numeric(column: "pd.Series[str]") -> bool:
    filled = column[column.str.strip() != ""]
    return bool(len(filled)) and bool(filled.str.fullmatch(NUMERIC).all())


def _is_nested(column: "pd.Series[str]") -> bool:
    return bool(column.str.lstrip().str.startswith(("{", "[")).any())


def _is_index(column: "pd.Series[str]") -> bool:
    numbers = pd.to_numeric(column, errors="coerce")
    return len(numbers) > 2 and numbers.iloc[0] in (0, 1) and bool((numbers.diff().iloc[1:] == 1).all())


def _is_score(column: "pd.Series[str]", table: Table) -> bool:
    """Return whether a column's numbers are in [0, 1] in a table whose others are not."""
    numbers = table.apply(lambda own: pd.to_numeric(own.str.replace(",", "."), errors="coerce"))
    return len(numbers) > 2 and bool((numbers[column.name].max() <= 1) and (numbers.max() > 1).sum() >= 4)


def _is_constant(column: "pd.Series[str]") -> bool:
    return len(column) > 2 and column.nunique() == 1


def _is_class(column: "pd.Series[str]") -> bool:
    """Return whether whole numbers are so few that they may be classes."""
    whole = column.str.fullmatch(r"\s*[0-9]+(\.0*)?\s*").all()
    return bool(whole) and column.nunique() <= min(FEW, len(column) // 4)


def _check_complete(file: Path, line: int, search: _Search) -> None:
    """Raise BadFileError if the image's or the box's columns are unknown."""
    missing = [f"--{key}-column{'s' * (key == 'box')}" for key in ("image", "box") if key not in search.found]
    if missing:
        fix = f"give {' and '.join(missing)}" + (", in the order of --box-format" * ("--box-columns" in missing))
        got = f"the columns {', '.join(map(str, search.table))}"
        expected = "recognizable columns of the image and of a box's four numbers"
        raise bad_file(file.as_posix(), "columns_unknown", line=line, got=got, expected=expected, fix=fix)


def _listed(value: str | Iterable[str]) -> str:
    return value if isinstance(value, str) else ", ".join(value)
