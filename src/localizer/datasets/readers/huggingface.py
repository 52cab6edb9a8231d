"""Hugging Face datasets' image folders: `metadata.jsonl`, one image a line, with lists of its boxes and labels."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localizer.datasets.readers.json_text import as_dict, as_list, as_text, documents, sniffed, texts
from localizer.datasets.readers.row import BackgroundImage, Item, LeftOut, Row
from localizer.datasets.readers.shapes import as_sides

if TYPE_CHECKING:
    from localizer.dataset import DatasetConfig

TITLE = "Hugging Face `metadata.jsonl`"
PATTERN = "*.jsonl"
BOXES = ("bbox", "bboxes", "boxes")
LABELS = ("label", "labels", "category", "categories", "class", "classes", "name", "names", "category_id")


def sniff(path: Path) -> bool:
    return any("file_name" in as_dict(line) and _objects(as_dict(line)) is not None for line in sniffed(path))


def read(source: Path, config: "DatasetConfig", images: Path | None) -> Iterator[Item]:
    """Yield a row per box, and the images without one."""
    left = LeftOut()
    for document in documents(source):
        line = as_dict(document.value)
        image, size = as_text(line.get("file_name")), texts(line, "width", "height")
        objects = _objects(line)
        for index, (box, label) in enumerate(objects or []):
            values = _sides(box)
            yield Row(source.as_posix(), document.line, f"objects[{index}]", image, label, "", *values, *size)
        if objects is None:
            left.add("images without a list of boxes")
        elif not objects:
            yield BackgroundImage(image, *size)
    yield from left.items()


def _sides(box: Any) -> list[str]:
    """Return x, y, width, height of a list of four, or of an object that names them or its corners."""
    named = as_dict(box)
    if {"xmin", "ymin", "xmax", "ymax"} <= set(named):
        return as_sides(texts(named, "xmin", "ymin", "xmax", "ymax"))
    values = texts(named, "x", "y", "width", "height") if named else [as_text(value) for value in as_list(box)]
    return values if len(values) == 4 else ["", "", "", ""]


def _objects(line: dict[str, Any]) -> list[tuple[Any, str]] | None:
    """Return the boxes of a line, each with its label; None where it has no lists of them."""
    found = line.get("objects", line)
    if isinstance(found, list):
        return [(_first(as_dict(one), BOXES), as_text(_first(as_dict(one), LABELS))) for one in found]
    boxes, labels = _first(as_dict(found), BOXES), as_list(_first(as_dict(found), LABELS))
    if not isinstance(boxes, list):
        return None
    return [(box, as_text(label)) for box, label in zip(boxes, labels + [""] * len(boxes), strict=False)]


def _first(values: dict[str, Any], keys: tuple[str, ...]) -> Any:
    return next((values[key] for key in keys if key in values), None)
