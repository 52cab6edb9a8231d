"""LabelMe: one JSON file per image, with shapes of several kinds."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from localizer.datasets.readers.json_text import as_dict, as_list, as_text, documents, sniffed, texts
from localizer.datasets.readers.row import BackgroundImage, Item, LeftOut, Row
from localizer.datasets.readers.shapes import bounds_of_points

if TYPE_CHECKING:
    from localizer.dataset import DatasetConfig

TITLE = "LabelMe JSON"
PATTERN = "*.json"
MEASURED = ("polygon", "linestrip")  # whose bounds can be taken


def sniff(path: Path) -> bool:
    return any({"shapes", "imagePath"} <= set(as_dict(value)) for value in sniffed(path))


def read(source: Path, config: "DatasetConfig", images: Path | None) -> Iterator[Item]:
    """Yield a row per rectangle, or the image where it has no shape."""
    file, left = source.as_posix(), LeftOut()
    for document in documents(source):
        top = as_dict(document.value)
        image, size = as_text(top.get("imagePath")), texts(top, "imageWidth", "imageHeight")
        for index, shape in enumerate(map(as_dict, as_list(top.get("shapes")))):
            kind = as_text(shape.get("shape_type")) or "polygon"  # as LabelMe's first versions, which had no other
            if kind == "rectangle" or (config.shapes == "bounds" and kind in MEASURED):
                box = bounds_of_points(shape.get("points"))
                yield Row(file, document.line, f"shapes[{index}]", image, as_text(shape.get("label")), "", *box, *size)
            else:
                left.add(f"{kind} shapes")
        if not as_list(top.get("shapes")):
            yield BackgroundImage(image, *size)
    yield from left.items()
