"""Pascal VOC: one XML file per image. Parsed with SAX, which knows the line of each element."""

import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl, Locator

from localizer.dataset import DatasetConfig
from localizer.datasets.readers.row import BackgroundImage, Ignored, Item, Row
from localizer.datasets.readers.xml_text import parse
from localizer.findings import BadFileError, Finding, bad_file, raise_if_any
from localizer.probing.file_names import as_utf8

TITLE = "Pascal VOC XML"
PATTERN = "**/*.xml"
ROOT = "annotation"
FIRST_ELEMENT = re.compile(rb"<([A-Za-z][A-Za-z0-9_.-]*)[\s/>]")
SNIFFED = 20  # files of a folder
# The elements that are read, by their path, and the fields of `Row` for their text.
IMAGE = {"annotation/filename": "image", "annotation/size/width": "width", "annotation/size/height": "height"}
OBJECT = {
    "annotation/object/name": "label",
    "annotation/object/bndbox/xmin": "box_1",
    "annotation/object/bndbox/ymin": "box_2",
    "annotation/object/bndbox/xmax": "box_3",
    "annotation/object/bndbox/ymax": "box_4",
}
# Elements of an object that are ignored, with notice: flags where they are 1, and shapes.
FLAGS, SHAPES = ("difficult", "truncated", "occluded"), ("part", "mask", "polygon")


def sniff(path: Path) -> bool:
    files = list(islice(path.glob(PATTERN), SNIFFED)) if path.is_dir() else [path] * (path.suffix.lower() == ".xml")
    roots = [_root(file) for file in files]
    return ROOT in roots or (bool(roots) and not any(roots))


def read(source: Path, config: DatasetConfig, images: Path | None) -> Iterator[Item]:
    """Yield the boxes of the files below a folder, sorted by path; BadFileError, at the end, lists the broken files.

    A file that names no image is of the image of its own name, without a suffix.
    """
    faults, ignored = list[Finding](), set[str]()
    for path in [source] if source.is_file() else sorted(source.glob(PATTERN)):
        try:
            content = _parse(path)
        except BadFileError as error:
            faults += error.findings
            continue
        for line, values in content.objects:
            yield Row(path.as_posix(), line, **values, **content.image)
        if not content.objects:
            yield BackgroundImage(**content.image)
        ignored |= content.ignored
    raise_if_any(faults)
    if ignored:
        yield Ignored(f"Pascal VOC's {', '.join(sorted(ignored))}")


def _root(path: Path) -> str:
    """Return the name of the first element near a file's beginning; empty where there is none, or no reading it."""
    found = None
    with suppress(OSError), path.open("rb") as file:
        found = FIRST_ELEMENT.search(file.read(4096))
    return found[1].decode() if found else ""


def _parse(path: Path) -> "_Handler":
    """Return the contents of one file; BadFileError names file and line where it is not Pascal VOC."""
    file, handler = path.as_posix(), _Handler()
    parse(path, handler, expected="Pascal VOC")
    if handler.root != ROOT:
        got, expected = f"<{handler.root}>", f"<{ROOT}> at the top, as in Pascal VOC"
        raise bad_file(file, "not_voc", line=1, got=got, expected=expected, fix="correct or remove the file")
    handler.image["image"] = handler.image["image"] or as_utf8(path.stem)
    return handler


class _Handler(ContentHandler):
    """Collects the fields of `Row` for the image and for each object, as text, and the names of what is ignored."""

    def __init__(self) -> None:
        super().__init__()
        self.root = ""  # the name of the outermost element
        self.image = dict.fromkeys(IMAGE.values(), "")
        self.objects: list[tuple[int, dict[str, str]]] = []  # with their lines
        self.ignored: set[str] = set()
        self._path: list[str] = []
        self._text = ""
        self._locator: Locator | None = None

    def setDocumentLocator(self, locator: Locator) -> None:  # noqa: N802
        self._locator = locator

    def startElement(self, name: str, attrs: AttributesImpl) -> None:  # noqa: N802
        self.root = self.root or name
        self._path.append(name)
        self._text = ""
        if self._path == ["annotation", "object"]:
            self.objects.append(((self._locator and self._locator.getLineNumber()) or 0, {}))

    def characters(self, content: str) -> None:
        self._text += content

    def endElement(self, name: str) -> None:  # noqa: N802
        path, text = "/".join(self._path), self._text.strip()
        if path in IMAGE:
            self.image[IMAGE[path]] = text
        elif path in OBJECT:
            self.objects[-1][1][OBJECT[path]] = text
        elif self._path[:-1] == ["annotation", "object"] and (name in SHAPES or (name in FLAGS and text == "1")):
            self.ignored.add(name)
        self._path.pop()
        self._text = ""
