"""Labelbox: the NDJSON of its exports, or a JSON list of the same or of its former format."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localizer.datasets.readers.json_text import as_dict, as_list, as_text, documents, sniffed, texts
from localizer.datasets.readers.row import BackgroundImage, Item, LeftOut, Row

if TYPE_CHECKING:
    from localizer.dataset import DatasetConfig

TITLE = "Labelbox NDJSON"
PATTERN = "*.*json*"


def sniff(path: Path) -> bool:
    records = [as_dict(one) for value in sniffed(path) for one in (value if isinstance(value, list) else [value])]
    return any(
        {"data_row", "projects"} <= set(record) or {"Label", "Labeled Data"} <= set(record) for record in records
    )


def read(source: Path, config: "DatasetConfig", images: Path | None) -> Iterator[Item]:
    """Yield a row per bounding box, and the labelled images without an object."""
    file, left = source.as_posix(), LeftOut()
    for document in documents(source):
        records = document.value if isinstance(document.value, list) else [document.value]
        for record in map(as_dict, records):
            image, size = _image(record), texts(as_dict(record.get("media_attributes")), "width", "height")
            objects = _objects(record)
            for index, shape in enumerate(objects or []):
                box = as_dict(shape.get("bounding_box", shape.get("bbox")))
                if not box:
                    left.add(f"{as_text(shape.get('annotation_kind')) or 'other'} shapes")
                    continue
                label = next(filter(None, texts(shape, "name", "title", "value")), "")
                values, place = texts(box, "left", "top", "width", "height"), f"{image}.objects[{index}]"
                yield Row(file, document.line, place, image, label, "", *values, *size)
            if objects is None:
                left.add("images without a label")
            elif not objects:
                yield BackgroundImage(image, *size)
    yield from left.items()


def _image(record: dict[str, Any]) -> str:
    row = as_dict(record.get("data_row"))
    return next(
        filter(None, [*texts(row, "external_id", "row_data"), *texts(record, "External ID", "Labeled Data")]), ""
    )


def _objects(record: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Return the objects of all labels of an image; None where it has no label."""
    projects = map(as_dict, as_list(record.get("projects")))
    labels = [as_dict(as_dict(label).get("annotations")) for one in projects for label in as_list(one.get("labels"))]
    labels += [label for label in [as_dict(record.get("Label"))] if label]
    if not labels:
        return None
    return [as_dict(shape) for label in labels for shape in as_list(label.get("objects"))]
