"""dlib's imglab: one XML file with an element per image, and one per box in it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from localizer.datasets.readers.row import BackgroundImage, Item, LeftOut, Row
from localizer.datasets.readers.xml_text import Element, elements, sniffed

if TYPE_CHECKING:
    from localizer.dataset import DatasetConfig

TITLE = "dlib's imglab XML"
PATTERN = "*.xml"
IMAGE = "dataset/images/image"
BOX, LABEL = f"{IMAGE}/box", f"{IMAGE}/box/label"


def sniff(path: Path) -> bool:
    found = sniffed(path)
    return bool(found) and found[0].path == "dataset" and any(one.path == IMAGE for one in found)


def read(source: Path, config: "DatasetConfig", images: Path | None) -> Iterator[Item]:
    """Yield a row per box but those to ignore, and the images without one."""
    file, left = source.as_posix(), LeftOut()
    images_in_file: list[tuple[Element, list[tuple[Element, str]]]] = []
    for element in elements(source, expected=TITLE):
        if element.path == IMAGE:
            images_in_file.append((element, []))
        elif element.path == BOX:
            images_in_file[-1][1].append((element, ""))
        elif element.path == LABEL:
            boxes = images_in_file[-1][1]
            boxes[-1] = boxes[-1][0], "".join(element.text).strip()
    for image, boxes in images_in_file:
        (name,), size = image.get("file"), image.get("width", "height")
        for box, label in boxes:
            if box.values.get("ignore", "0") not in ("0", ""):
                left.add("boxes to ignore")
            else:
                yield Row(file, box.line, "", name, label, "", *box.get("left", "top", "width", "height"), *size)
        if not boxes:
            yield BackgroundImage(name, *size)
    yield from left.items()
