"""COCO: one JSON file with images, categories and annotations.

Python's reader of JSON tells no places, so the lists of the top object are read here element by element.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from localizer.datasets.readers.row import Row
from localizer.datasets.readers.text import checked_bytes
from localizer.findings import BadFileError, Finding, critical, raise_if_any
from localizer.probing.file_names import as_utf8

LISTS = ("images", "annotations", "categories")
TABLES = {"image_id": "images", "category_id": "categories"}  # whose ids they are
EXPECTED = "COCO: a JSON object with images, annotations and categories"
SPACE = re.compile(r"[ \t\r\n]*")
# What Localizer reads of an annotation, or can make again from it.
READ = {"id", "image_id", "category_id", "bbox", "area"}


class Element(NamedTuple):
    """One element of a list of the top object: the line that it begins on, and its values, scalars as text."""

    line: int
    name: str
    values: dict[str, Any]


@dataclass
class CocoFile:
    """The elements of one file; `others` are the keys that Localizer does not read: of the file, of its annotations."""

    file: str
    images: list[Element] = field(default_factory=list)
    annotations: list[Element] = field(default_factory=list)
    categories: list[Element] = field(default_factory=list)
    others: set[str] = field(default_factory=set)


def read_coco(path: Path) -> Iterator[Row]:
    """Yield the rows of a COCO file, a row an annotation; BadFileError lists all its faults, with line and element."""
    yield from rows_of(read_coco_file(path))


def rows_of(found: CocoFile) -> Iterator[Row]:
    """Yield a row an annotation; BadFileError lists the faults of images, categories and annotations."""
    raise_if_any([*_faults_of_tables(found), *_faults_of_annotations(found)])
    images = {_text(image, "id"): image for image in found.images}
    labels = {_text(category, "id"): _text(category, "name") for category in found.categories}
    for annotation in found.annotations:
        image = images[_text(annotation, "image_id")]
        label = labels[_text(annotation, "category_id")]
        box = [*map(_as_text, annotation.values["bbox"]), *[""] * 4][:4]
        texts = [_text(image, "file_name"), label, "", *box, _text(image, "width"), _text(image, "height")]
        yield Row(found.file, annotation.line, annotation.name, *texts)


def rows_without_box(found: CocoFile) -> Iterator[Row]:
    """Yield a row without label and box for each image that no annotation belongs to."""
    annotated = {_text(annotation, "image_id") for annotation in found.annotations}
    for image in found.images:
        if _text(image, "id") not in annotated:
            name, width, height = (_text(image, key) for key in ("file_name", "width", "height"))
            yield Row(found.file, image.line, image.name, name, width=width, height=height)


def read_coco_file(path: Path) -> CocoFile:
    """Return the elements of a COCO file; BadFileError where it is no JSON, or its top is no COCO."""
    text = checked_bytes(path, expected=EXPECTED).decode("utf-8-sig")
    reader = _Reader(path.as_posix(), text)
    told = {"expected": "valid JSON", "fix": "correct it there"}
    try:
        return reader.whole()
    except json.JSONDecodeError as error:
        told |= {"got": f"{error.msg} at character {error.colno}"}
        raise BadFileError([critical(path.as_posix(), "json_invalid", line=error.lineno, **told)]) from None
    except RecursionError:
        told |= {"got": "values nested too deep"}
        raise BadFileError([critical(path.as_posix(), "json_invalid", line=reader.line, **told)]) from None


class _Reader:
    """Walks the top object of a JSON text from left to right, counting lines: linear in its length."""

    def __init__(self, file: str, text: str) -> None:
        self.file, self.text = file, text
        self.place, self.line, self._counted = 0, 1, 0
        self.found, self.faults = CocoFile(file), list[Finding]()
        # Numbers stay text: the rules judge them as they are written.
        self._scan: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder(
            parse_float=str, parse_int=str, parse_constant=str
        ).raw_decode

    def whole(self) -> CocoFile:
        """Return what the text holds; BadFileError lists what the top object lacks or has twice."""
        keys = set[str]()
        if self._next() != "{":
            self.value()  # invalid JSON is told before that it is no object
            self._note("not_coco", "", got="no object at the top", fix="is it the right file?")
            raise BadFileError(self.faults)
        for _ in self._members("}"):
            self._member(keys)
        if self._next():
            raise json.JSONDecodeError("Extra data", self.text, self.place)
        for name in LISTS:
            if name not in keys:
                self._note("key_missing", name, got=f"no {name}", fix="is this COCO's format for detection?")
        raise_if_any(self.faults)
        return self.found

    def value(self) -> Any:
        """Return the JSON value that comes next, and step behind it."""
        self._next()
        value, self.place = self._scan(self.text, self.place)
        return value

    def _member(self, keys: set[str]) -> None:
        """Read one key and its value."""
        if self._next() != '"':
            raise json.JSONDecodeError("Expecting property name enclosed in double quotes", self.text, self.place)
        key = str(self.value())
        self._take(":")
        if key in keys:
            self._note("key_twice", key, got=f"{key!r} twice in the top object", fix="remove one")
        keys.add(key)
        if key not in LISTS:
            self.value()
            self.found.others.add(key)
        elif self._next() != "[":
            self.value()
            self._note("not_a_list", key, got=f"{key} that is no list", fix="is this COCO's format for detection?")
        else:
            self._elements(key)

    def _elements(self, key: str) -> None:
        into: list[Element] = getattr(self.found, key)
        for index in self._members("]"):
            self._next()
            self.line += self.text.count("\n", self._counted, self.place)
            self._counted = self.place
            values, name = self.value(), f"{key}[{index}]"
            if not isinstance(values, dict):
                self._note("not_an_object", name, got=_shown(values), fix="correct or remove it")
                continue
            if key == "annotations":
                values = self._without_the_unread(values)
            into.append(Element(self.line, name, values))

    def _without_the_unread(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return what is read of an annotation: polygons would take most of the memory."""
        self.found.others |= {
            f"annotations' {key}" for key, value in values.items() if key not in READ and value and value != "0"
        }
        return {key: value for key, value in values.items() if key in READ}

    def _members(self, end: str) -> Iterator[int]:
        """Step over an opening bracket, then yield at each member, over the commas, and step over `end`."""
        self.place += 1
        index = 0
        while self._next() != end or index:
            yield index
            index += 1
            if self._next() == end:
                break
            self._take(",")
        self.place += 1

    def _next(self) -> str:
        """Return the next character that is no space, empty at the end, without stepping over it."""
        blank = SPACE.match(self.text, self.place)
        self.place = blank.end() if blank else self.place
        return self.text[self.place : self.place + 1]

    def _take(self, sign: str) -> None:
        if self._next() != sign:
            raise json.JSONDecodeError(f"Expecting {sign!r} delimiter", self.text, self.place)
        self.place += 1

    def _note(self, rule: str, column: str, *, got: str, fix: str) -> None:
        self.line += self.text.count("\n", self._counted, self.place)
        self._counted = self.place
        self.faults.append(
            critical(self.file, rule, line=self.line, column=column, got=got, expected=EXPECTED, fix=fix)
        )


def _faults_of_tables(found: CocoFile) -> Iterator[Finding]:
    """Yield the images without a name, and the ids or file names that two elements of a kind have."""
    for image in found.images:
        if not _text(image, "file_name"):
            told = {"got": "no file_name", "expected": "the image's file name", "fix": "give it, or remove the image"}
            yield _fault(found.file, "file_name_missing", image, "file_name", **told)
    identified = [annotation for annotation in found.annotations if "id" in annotation.values]
    tables = [(found.images, "id"), (found.categories, "id"), (identified, "id"), (found.images, "file_name")]
    for table, key in tables:
        first: dict[str, Element] = {}
        for element in table:
            value = _text(element, key)
            other = first.setdefault(value, element)
            if other is not element and (value or key == "id"):
                told = {"got": f"the {key} of {other.name} again: {value}", "expected": "one of its own"}
                yield _fault(found.file, "id_twice", element, key, **told, fix="correct or remove one")


def _faults_of_annotations(found: CocoFile) -> Iterator[Finding]:
    """Yield the annotations of no image or category, and those without a box."""
    known = {
        "image_id": {_text(image, "id") for image in found.images},
        "category_id": {_text(category, "id") for category in found.categories},
    }
    for annotation in found.annotations:
        for key, ids in known.items():
            if _text(annotation, key) not in ids or key not in annotation.values:
                told = {"got": _shown(annotation.values.get(key)), "expected": f"an id of {TABLES[key]}"}
                yield _fault(
                    found.file, "id_unknown", annotation, key, **told, fix="correct it, or remove the annotation"
                )
        box = annotation.values.get("bbox")
        if not isinstance(box, list) or len(box) > 4:
            told = {"got": _shown(box), "expected": "[x, y, width, height]", "fix": "give a box; polygons are not read"}
            yield _fault(found.file, "bbox_invalid", annotation, "bbox", **told)


def _fault(file: str, rule: str, element: Element, key: str, *, got: str, expected: str, fix: str) -> Finding:
    return critical(file, rule, line=element.line, column=f"{element.name}.{key}", got=got, expected=expected, fix=fix)


def _text(element: Element, key: str) -> str:
    return _as_text(element.values.get(key))


def _as_text(value: Any) -> str:
    return "" if value is None else as_utf8(str(value))


def _shown(value: Any) -> str:
    """Return a value as a message shows it: short, and `none` for null or nothing."""
    text = "none" if value is None else _as_text(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
