"""Supervisely: a folder `ann` with one JSON file per image, called as the image and `.json`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from localizer.datasets.readers.json_text import as_dict, as_list, as_text, documents, sniffed, texts
from localizer.datasets.readers.row import BackgroundImage, Item, LeftOut, Row
from localizer.datasets.readers.shapes import bounds_of_points

if TYPE_CHECKING:
    from localizer.dataset import DatasetConfig

TITLE = "Supervisely JSON"
PATTERN = "*.json"


def sniff(path: Path) -> bool:
    tops = [as_dict(value) for value in sniffed(path)]
    return any("objects" in top and {"width", "height"} <= set(as_dict(top.get("size"))) for top in tops)


def read(source: Path, config: "DatasetConfig", images: Path | None) -> Iterator[Item]:
    """Yield a row per rectangle, or the image where it has no object."""
    file, left, image = source.as_posix(), LeftOut(), source.name.removesuffix(source.suffix)
    for document in documents(source):
        top = as_dict(document.value)
        size = texts(as_dict(top.get("size")), "width", "height")
        for index, shape in enumerate(map(as_dict, as_list(top.get("objects")))):
            kind, points = as_text(shape.get("geometryType")) or "rectangle", as_dict(shape.get("points"))
            if kind == "rectangle" or (config.shapes == "bounds" and kind in ("polygon", "line")):
                label, box = as_text(shape.get("classTitle")), bounds_of_points(points.get("exterior"))
                yield Row(file, document.line, f"objects[{index}]", image, label, "", *box, *size)
            else:
                left.add(f"{kind} shapes")
        if not as_list(top.get("objects")):
            yield BackgroundImage(image, *size)
    yield from left.items()
