"""COCO: one JSON file with images, categories and annotations.

Python's JSON parser keeps no lines, so that a fault names the element, `annotations[17]`, and its id.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from localizer.dataset import DatasetConfig
from localizer.datasets.readers.row import BackgroundImage, Ignored, Item, Row
from localizer.datasets.readers.text import checked_bytes
from localizer.findings import Finding, bad_file, critical, raise_if_any
from localizer.probing.file_names import as_utf8

LISTS = ("images", "annotations", "categories")
TABLES = {"image_id": "images", "category_id": "categories"}  # the lists that the ids belong to
EXPECTED = "COCO: a JSON object with images, annotations and categories"
SAME_FORMAT = "is this COCO's format for detection?"
# What is read of an annotation, or follows from that.
READ = {"id", "image_id", "category_id", "bbox", "area"}
KEPT = {*LISTS, *READ, "file_name", "width", "height", "name"}


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


@dataclass
class CocoFile:
    """The elements of one file; `ignored`: keys that are not read, of the file and of its annotations."""

    file: str
    images: list[Element] = field(default_factory=list)
    annotations: list[Element] = field(default_factory=list)
    categories: list[Element] = field(default_factory=list)
    ignored: set[str] = field(default_factory=set)


def sniff(path: Path) -> bool:
    return not path.is_dir() and path.suffix.lower() == ".json"


def read(source: Path, config: DatasetConfig, images: Path | None) -> Iterator[Item]:
    """Yield a row per annotation; BadFileError lists the faults of the file, or those of all its elements."""
    content = _parse(source)
    raise_if_any([*_table_faults(content), *_annotation_faults(content)])
    images_by_id = {image.text("id"): image for image in content.images}
    labels = {category.text("id"): category.text("name") for category in content.categories}
    for annotation in content.annotations:
        image = images_by_id[annotation.text("image_id")]
        box = [*map(_as_text, annotation.values["bbox"]), *[""] * 4][:4]
        label = labels[annotation.text("category_id")]
        texts = [image.text("file_name"), label, "", *box, image.text("width"), image.text("height")]
        yield Row(content.file, None, annotation.name(), *texts)
    annotated = {annotation.text("image_id") for annotation in content.annotations}
    for image in content.images:
        if image.text("id") not in annotated:
            yield BackgroundImage(image.text("file_name"), image.text("width"), image.text("height"))
    if content.ignored:
        yield Ignored(f"COCO's {', '.join(sorted(content.ignored))}")


def _parse(path: Path) -> CocoFile:
    """Return the elements of a COCO file; BadFileError if it is no JSON, or its top object is no COCO."""
    text, file = checked_bytes(path, expected=EXPECTED).decode("utf-8-sig"), path.as_posix()
    keys: list[str] = []

    def as_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys[:] = [key for key, _ in pairs]  # at last those of the top object
        # Polygons would take most of the memory.
        return {key: value if key in KEPT else _has_content(value) for key, value in pairs}

    try:
        # Numbers stay text, for the rules to check as they are written.
        top = json.loads(text, parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=as_object)
    except json.JSONDecodeError as error:
        line, got = error.lineno, f"{error.msg} at character {error.colno}"
        raise bad_file(
            file, "json_invalid", line=line, got=got, expected="valid JSON", fix="correct it there"
        ) from None
    except RecursionError:
        got, fix = "values nested too deep", "is it the right file?"
        raise bad_file(file, "json_invalid", got=got, expected="valid JSON", fix=fix) from None
    if not isinstance(top, dict):
        got, fix = "no object at the top", "is it the right file?"
        raise bad_file(file, "not_coco", got=got, expected=EXPECTED, fix=fix)
    return _elements(file, top, keys)


def _elements(file: str, top: dict[str, Any], keys: list[str]) -> CocoFile:
    """Return the elements of the top object; BadFileError lists its missing, repeated and malformed keys."""
    found, faults = CocoFile(file, ignored=set(top).difference(LISTS)), []

    def add_fault(rule: str, place: str, got: str, fix: str) -> None:
        faults.append(critical(file, rule, column=place, got=got, expected=EXPECTED, fix=fix))

    for key, count in Counter(keys).items():
        if count > 1:
            add_fault("key_twice", key, f"{key!r} twice in the top object", "remove one")
    for name in LISTS:
        if name not in top:
            add_fault("key_missing", name, f"no {name}", SAME_FORMAT)
        elif not isinstance(top[name], list):
            add_fault("not_a_list", name, f"{name} that is no list", SAME_FORMAT)
            continue
        for index, values in enumerate(top.get(name, ())):
            place = f"{name}[{index}]"
            if isinstance(values, dict):
                getattr(found, name).append(Element(place, values))
            else:
                add_fault("not_an_object", place, _shown(values), "correct or remove it")
    raise_if_any(faults)
    for annotation in found.annotations:
        unread = [key for key in annotation.values if key not in READ and _has_content(annotation.values[key])]
        found.ignored |= {f"annotations' {key}" for key in unread}
    return found


def _has_content(value: Any) -> bool:
    return bool(value) and value != "0"


def _table_faults(found: CocoFile) -> Iterator[Finding]:
    """Yield the images without a name, and the ids or file names that two elements of a list share."""
    for image in found.images:
        if not image.text("file_name"):
            fix = "give it, or remove the image"
            yield _fault(found, "file_name_missing", image, "file_name", "no file_name", "the image's file name", fix)
    identified = [annotation for annotation in found.annotations if "id" in annotation.values]
    tables = [(found.images, "id"), (found.categories, "id"), (identified, "id"), (found.images, "file_name")]
    for table, key in tables:
        first: dict[str, Element] = {}
        for element in table:
            value = element.text(key)
            other = first.setdefault(value, element)
            if other is not element and (value or key == "id"):
                got = f"the {key} of {other.place} again: {value}"
                yield _fault(found, "id_twice", element, key, got, "a unique one", "correct or remove one")


def _annotation_faults(found: CocoFile) -> Iterator[Finding]:
    """Yield the annotations of no image or category, and those without a box."""
    known = {key: {element.text("id") for element in getattr(found, table)} for key, table in TABLES.items()}
    for annotation in found.annotations:
        for key, ids in known.items():
            if annotation.text(key) not in ids or key not in annotation.values:
                got, fix = _shown(annotation.values.get(key)), "correct it, or remove the annotation"
                yield _fault(found, "id_unknown", annotation, key, got, f"an id of {TABLES[key]}", fix)
        box = annotation.values.get("bbox")
        if not isinstance(box, list) or len(box) > 4:
            fix = "give a box; polygons are not read"
            yield _fault(found, "bbox_invalid", annotation, "bbox", _shown(box), "[x, y, width, height]", fix)


def _fault(found: CocoFile, rule: str, element: Element, key: str, got: str, expected: str, fix: str) -> Finding:
    return critical(found.file, rule, column=f"{element.name()}.{key}", got=got, expected=expected, fix=fix)


def _as_text(value: Any) -> str:
    return "" if value is None else as_utf8(str(value))


def _shown(value: Any) -> str:
    """Return a value as a message shows it: short, and `none` for null or nothing."""
    text = "none" if value is None else _as_text(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
