"""Apple's Create ML: one JSON list of images, each with its boxes, by centre and size in pixels."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localizer.datasets.readers.json_text import as_dict, as_list, as_text, documents, sniffed, texts
from localizer.datasets.readers.row import BackgroundImage, Item, Row

if TYPE_CHECKING:
    from localizer.dataset import DatasetConfig

TITLE = "Create ML JSON"
PATTERN = "*.json"


def sniff(path: Path) -> bool:
    images = [as_dict(image) for value in sniffed(path) if isinstance(value, list) for image in value]
    return any("coordinates" in as_dict(box) for image in images for box in _boxes(image))


def read(source: Path, config: "DatasetConfig", images: Path | None) -> Iterator[Item]:
    """Yield a row per box, and the images without one."""
    for document in documents(source):
        for index, image in enumerate(map(as_dict, as_list(document.value))):
            name = next(filter(None, texts(image, "image", "imagefilename", "filename")), "")
            for number, box in enumerate(map(as_dict, _boxes(image))):
                place = f"[{index}].annotations[{number}]"
                values = texts(as_dict(box.get("coordinates")), "x", "y", "width", "height")
                yield Row(source.as_posix(), document.line, place, name, as_text(box.get("label")), "", *values)
            if not _boxes(image):
                yield BackgroundImage(name)


def _boxes(image: dict[str, Any]) -> list[Any]:
    return as_list(image.get("annotations", image.get("annotation")))
