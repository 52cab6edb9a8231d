"""COCO: one JSON file with images, categories and annotations.

Python's JSON parser keeps no lines, so that a fault names the element, `annotations[17]`, and its id.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from localizer.dataset import DatasetConfig
from localizer.datasets.readers.json_text import as_dict, sniffed
from localizer.datasets.readers.row import BackgroundImage, Ignored, Item, Row
from localizer.datasets.readers.shapes import PolygonBounds, check_boxes_of_polygons
from localizer.datasets.readers.text import checked_bytes
from localizer.findings import Finding, bad_file, critical, raise_if_any
from localizer.probing.file_names import as_utf8

TITLE = "COCO JSON"
PATTERN = "*.json"
LISTS = ("images", "annotations", "categories")
TABLES = {"image_id": "images", "category_id": "categories"}  # the lists that the ids belong to
EXPECTED = "COCO: a JSON object with images, annotations and categories"
EXPORT = "export it in COCO's format for object detection"
# What is read of an annotation, or follows from that.
READ = {"id", "image_id", "category_id", "bbox", "area"}
KEPT = {*LISTS, *READ, "iscrowd", "file_name", "width", "height", "name"}
CROWDS = "crowds"  # the list of the annotations that are left out: one box around many objects
# A number that may be written in several ways. An exponent has a sign, or is 0: 1e2 may be a hexadecimal id.
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE]([+-][0-9]{1,2}|0))?")


class Element(NamedTuple):
    """One element of a list of the top object: its place, `annotations[17]`, and its values, scalars as text."""

    place: str
    values: dict[str, Any]

    def name(self) -> str:
        """Return the place with the element's id, as far as it has one."""
        return f"{self.place} (id {_shown(self.values['id'])})" if "id" in self.values else self.place

    def text(self, key: str) -> str:
        """Return a value as text; empty for null and for a missing key."""
        return _as_text(self.values.get(key))

    def id(self, key: str = "id") -> str:
        """Return an id as text, equal for equal numbers."""
        return _by_value(self.text(key))

    def is_crowd(self) -> bool:
        """Return whether an annotation is of a crowd: its box surrounds many objects."""
        return self.id("iscrowd") in ("1", "True", "true")


Lists = dict[str, list[Element]]  # of LISTS and CROWDS


def sniff(path: Path) -> bool:
    tops = [as_dict(value) for value in sniffed(path)] if path.is_file() else []
    return any(sum(isinstance(top.get(name), list) for name in LISTS) >= 2 for top in tops)


def read(source: Path, config: DatasetConfig, images: Path | None) -> Iterator[Item]:
    """Yield a row per annotation; BadFileError lists the faults of the file, or those of all its elements."""
    file = source.as_posix()
    lists, ignored = _parse(source)
    raise_if_any([*_table_faults(file, lists), *_annotation_faults(file, lists)])
    pairs = [(one.values["bbox"], one.values.get("segmentation")) for one in lists["annotations"]]
    check_boxes_of_polygons(file, pairs)
    images_by_id = {image.id(): image for image in lists["images"]}
    labels = {category.id(): category.text("name") for category in lists["categories"]}
    for annotation in lists["annotations"]:
        image = images_by_id[annotation.id("image_id")]
        box = [*map(_as_text, annotation.values["bbox"]), *[""] * 4][:4]
        label = labels[annotation.id("category_id")]
        texts = [image.text("file_name"), label, "", *box, image.text("width"), image.text("height")]
        yield Row(file, None, annotation.name(), *texts)
    yield from _images_without_box(lists)
    if ignored:
        yield Ignored(f"COCO's {', '.join(sorted(ignored))}")


def _images_without_box(lists: Lists) -> Iterator[BackgroundImage | Ignored]:
    """Yield the images without an annotation; and, as ignored, the crowds and the images that have nothing else."""
    annotated, crowded = ({one.id("image_id") for one in lists[name]} for name in ("annotations", CROWDS))
    only_crowds = list[str]()
    for image in (image for image in lists["images"] if image.id() not in annotated):
        if image.id() in crowded:
            only_crowds.append(image.text("file_name"))
        else:
            yield BackgroundImage(image.text("file_name"), image.text("width"), image.text("height"))
    if count := len(lists[CROWDS]):
        yield Ignored(f"{count} annotation{'s' * (count > 1)} of crowds (iscrowd)")
    if count := len(only_crowds):
        names = f"{', '.join(only_crowds[:3])}{', ...' * (count > 3)}"
        yield Ignored(f"{count} image{'s' * (count > 1)} with crowds alone: {names}")


def _parse(path: Path) -> tuple[Lists, set[str]]:
    """Return the elements of a COCO file, and the keys that are not read; BadFileError if it is no COCO."""
    text, file = checked_bytes(path, expected=EXPECTED).decode("utf-8-sig"), path.as_posix()
    keys: list[str] = []
    polygons = PolygonBounds()

    def as_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys[:] = [key for key, _ in pairs]  # the last call is for the top object
        # Polygons would take most of the memory.
        return {key: value if key in KEPT else polygons.of(value) or _has_content(value) for key, value in pairs}

    try:
        # Numbers stay text: the rules check them as written.
        top = json.loads(text, parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=as_object)
    except json.JSONDecodeError as error:
        line, fix = error.lineno, "correct it there"
        got = f"a parse error at character {error.colno}: {error.msg}"
        raise bad_file(file, "json_invalid", line=line, got=got, expected="valid JSON", fix=fix) from None
    except RecursionError:
        got, fix = "values nested too deep", "is it the right file?"
        raise bad_file(file, "json_invalid", got=got, expected="valid JSON", fix=fix) from None
    if not isinstance(top, dict):
        got, fix = "no object at the top", "is it the right file?"
        raise bad_file(file, "not_coco", got=got, expected=EXPECTED, fix=fix)
    lists = _elements(file, top, keys)
    lists[CROWDS] = [annotation for annotation in lists["annotations"] if annotation.is_crowd()]
    lists["annotations"] = [annotation for annotation in lists["annotations"] if not annotation.is_crowd()]
    return lists, set(top).difference(LISTS).union(*map(_unread, lists["annotations"]))


def _elements(file: str, top: dict[str, Any], keys: list[str]) -> Lists:
    """Return the elements of the top object; BadFileError lists its missing, repeated and malformed keys."""
    lists: Lists = {name: [] for name in LISTS}
    faults = list[Finding]()

    def add_fault(rule: str, place: str, got: str, fix: str, *, expected: str = EXPECTED) -> None:
        faults.append(critical(file, rule, column=place, got=got, expected=expected, fix=fix))

    for key, count in Counter(keys).items():
        if count > 1:
            add_fault("key_twice", key, f"it {count} times", "remove all but one", expected=f"the key {key!r} once")
    for name in LISTS:
        if name not in top:
            add_fault("key_missing", name, f"no {name}", EXPORT)
        elif not isinstance(top[name], list):
            got = "an object" if isinstance(top[name], dict) else _shown(top[name])
            add_fault("not_a_list", name, got, EXPORT, expected="a list")
            continue
        for index, values in enumerate(top.get(name, ())):
            place = f"{name}[{index}]"
            if isinstance(values, dict):
                lists[name].append(Element(place, values))
            else:
                add_fault("not_an_object", place, _shown(values), "correct or remove it", expected="an object")
    raise_if_any(faults)
    return lists


def _unread(annotation: Element) -> set[str]:
    unread = {key: value for key, value in annotation.values.items() if key not in READ}
    return {f"annotations' {key}" for key, value in unread.items() if _has_content(value)}


def _has_content(value: Any) -> bool:
    return bool(value) and not (isinstance(value, str) and _by_value(value) == "0")


def _table_faults(file: str, lists: Lists) -> Iterator[Finding]:
    """Yield the images without a name, and the ids or file names that two elements of a list share."""
    images, named = lists["images"], [image for image in lists["images"] if image.text("file_name")]
    for image in images:
        if not image.text("file_name"):
            expected, fix = "the image's file name", "give it, or remove the image"
            yield _fault(file, "file_name_missing", image, "file_name", "none", expected, fix)
    identified = [annotation for annotation in lists["annotations"] if "id" in annotation.values]
    for table, key in ((images, "id"), (lists["categories"], "id"), (identified, "id"), (named, "file_name")):
        first: dict[str, Element] = {}
        for element in table:
            other = first.setdefault(element.id() if key == "id" else element.text(key), element)
            if other is not element:
                got = f"that of {other.place} again: {element.text(key)}"
                yield _fault(file, "id_twice", element, key, got, f"a unique {key}", "correct or remove one")


def _annotation_faults(file: str, lists: Lists) -> Iterator[Finding]:
    """Yield the annotations of no image or category, and those without a box."""
    known = {key: {element.id() for element in lists[name]} for key, name in TABLES.items()}
    for annotation in lists["annotations"]:
        for key, ids in known.items():
            if annotation.id(key) not in ids or key not in annotation.values:
                got, fix = _shown(annotation.values.get(key)), "correct it, or remove the annotation"
                yield _fault(file, "id_unknown", annotation, key, got, f"an id in {TABLES[key]}", fix)
        box = annotation.values.get("bbox")
        if not isinstance(box, list) or len(box) > 4:
            fix = "give a box: polygons are not read; or remove the annotation"
            yield _fault(file, "bbox_invalid", annotation, "bbox", _shown(box), "[x, y, width, height]", fix)


def _fault(file: str, rule: str, element: Element, key: str, got: str, expected: str, fix: str) -> Finding:
    return critical(file, rule, column=f"{element.name()}.{key}", got=got, expected=expected, fix=fix)


def _as_text(value: Any) -> str:
    return "" if value is None else as_utf8(str(value))


def _by_value(text: str) -> str:
    """Return a number without an exponent and a fraction of zeros: 0.0 is 0; other text as it is."""
    if text.isdecimal() or not NUMBER.fullmatch(text):
        return text
    plain = f"{Decimal(text):f}"
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def _shown(value: Any) -> str:
    """Return a value as a message shows it: short, and `none` for null or nothing."""
    text = "none" if value is None else _as_text(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
