"""CVAT for images 1.1: one XML file with an element per image, and one per box in it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from localizer.datasets.readers.row import BackgroundImage, Item, LeftOut, Row
from localizer.datasets.readers.shapes import bounds
from localizer.datasets.readers.xml_text import Element, elements, sniffed
from localizer.findings import bad_file

if TYPE_CHECKING:
    from localizer.dataset import DatasetConfig

TITLE = "CVAT for images 1.1"
PATTERN = "*.xml"
IMAGE, TRACK = "annotations/image", "annotations/track"
SHAPES = ("polygon", "polyline", "ellipse", "points", "mask", "cuboid", "skeleton", "tag")
MEASURED = ("polygon", "polyline")  # whose bounds can be taken


def sniff(path: Path) -> bool:
    found = sniffed(path)
    return bool(found) and found[0].path == "annotations" and any(one.path in (IMAGE, TRACK) for one in found)


def read(source: Path, config: "DatasetConfig", images: Path | None) -> Iterator[Item]:
    """Yield a row per box, and the images without an element; videos are refused."""
    file, left, empty = source.as_posix(), LeftOut(), dict[str, BackgroundImage]()
    name, size, split = "", ["", ""], ""
    for element in elements(source, expected=TITLE):
        kind = element.path.rsplit("/", 1)[-1]
        if element.path == TRACK:
            fix = "export it as `CVAT for images 1.1`"
            raise bad_file(file, "cvat_video", line=element.line, got="CVAT for video", expected=TITLE, fix=fix)
        if element.path == IMAGE:
            (name, split), size = element.get("name", "subset"), element.get("width", "height")
            empty[name] = BackgroundImage(name, *size)
        elif element.path == f"{IMAGE}/box" or (kind in SHAPES and element.path == f"{IMAGE}/{kind}"):
            empty.pop(name, None)
            if box := _box(element, kind, config.shapes == "bounds"):
                values = [*element.get("label"), "", *box, *size, split]
                yield Row(file, element.line, "", name, *values)
            else:
                left.add("rotated boxes" if kind == "box" else f"{kind} shapes")
    yield from empty.values()
    yield from left.items()


def _box(element: Element, kind: str, take_bounds: bool) -> list[str] | None:
    """Return xyxy in pixels of a box, or of the bounds of a shape; None of one that is left out."""
    if kind == "box":
        turned = element.values.get("rotation", "0").strip("0.") != ""
        return None if turned else element.get("xtl", "ytl", "xbr", "ybr")
    if kind not in MEASURED or not take_bounds:
        return None
    points = [point.split(",") for point in element.values.get("points", "").split(";")]
    return bounds([point[0] for point in points], [point[-1] for point in points])
