"""Pascal VOC: one XML file an image. Read with SAX, which knows the line of each element."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax import SAXParseException
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl, Locator

import defusedxml.sax
from defusedxml import DefusedXmlException

from localizer.dataset import DatasetConfig
from localizer.datasets.readers.row import BackgroundImage, Ignored, Item, Row
from localizer.findings import BadFileError, Finding, bad_file, raise_if_any

CORNERS = ("xmin", "ymin", "xmax", "ymax")
# Elements of an object that are not read: flags, reported where they are 1, and shapes, wherever they stand.
FLAGS, SHAPES = ("difficult", "truncated", "occluded"), ("part", "mask", "polygon")


@dataclass
class VocBox:
    """One <object>: its line, label and corners, as text; empty where the element is missing."""

    line: int
    label: str = ""
    corners: list[str] = field(default_factory=lambda: [""] * 4)


@dataclass
class VocFile:
    """One file: the image's name and size as text, its boxes, and its FLAGS and SHAPES, which are ignored."""

    image: str = ""
    width: str = ""
    height: str = ""
    boxes: list[VocBox] = field(default_factory=list)
    ignored: set[str] = field(default_factory=set)


def sniff(path: Path) -> bool:
    return path.is_dir() and any(path.rglob("*.xml"))


def read(source: Path, config: DatasetConfig, images: Path | None) -> Iterator[Item]:
    """Yield the boxes of the files below a folder, sorted by path; BadFileError, at the end, lists the broken files."""
    if not source.is_dir():
        expected, fix = "a folder of Pascal VOC's .xml files", "name the folder itself"
        raise bad_file(source.as_posix(), "not_a_folder", got="no folder", expected=expected, fix=fix)
    faults, ignored = list[Finding](), set[str]()
    for path in sorted(source.rglob("*.xml")):
        try:
            found = read_voc_file(path)
        except BadFileError as error:
            faults += error.findings
            continue
        ignored |= found.ignored
        for box in found.boxes:
            texts = [found.image, box.label, "", *box.corners, found.width, found.height]
            yield Row(path.as_posix(), box.line, "", *texts)
        if not found.boxes:
            yield BackgroundImage(found.image, found.width, found.height)
    raise_if_any(faults)
    if ignored:
        yield Ignored(f"Pascal VOC's {', '.join(sorted(ignored))}")


def read_voc_file(path: Path) -> VocFile:
    """Return the contents of one file; BadFileError names file and line where it is not Pascal VOC."""
    file, handler = path.as_posix(), _Handler()
    try:
        defusedxml.sax.parse(str(path), handler, forbid_dtd=True)
    except DefusedXmlException:
        got = "a DTD or entities, which are refused"
        raise bad_file(file, "xml_entities", got=got, expected="Pascal VOC", fix="remove them") from None
    except Exception as error:  # xml.sax.SAXParseException, or expat's own for a broken encoding
        line = error.getLineNumber() if isinstance(error, SAXParseException) else 1
        got, fix = getattr(error, "getMessage", error.__str__)(), "correct or replace the file"
        raise bad_file(file, "xml_invalid", line=line, got=got, expected="valid XML", fix=fix) from None
    if not handler.found.image:
        got, fix = "no <filename> in an <annotation>", "is this Pascal VOC?"
        raise bad_file(file, "not_voc", line=1, got=got, expected="Pascal VOC", fix=fix)
    return handler.found


class _Handler(ContentHandler):
    """Collects the values of a VocFile, keeping the path of open elements."""

    def __init__(self) -> None:
        super().__init__()
        self.found = VocFile()
        self._path: list[str] = []
        self._text = ""
        self._locator: Locator | None = None

    def setDocumentLocator(self, locator: Locator) -> None:  # noqa: N802
        self._locator = locator

    def startElement(self, name: str, attrs: AttributesImpl) -> None:  # noqa: N802
        self._path.append(name)
        self._text = ""
        if self._path == ["annotation", "object"]:
            self.found.boxes.append(VocBox((self._locator and self._locator.getLineNumber()) or 0))

    def characters(self, content: str) -> None:
        self._text += content

    def endElement(self, name: str) -> None:  # noqa: N802
        text = self._text.strip()
        match self._path:
            case ["annotation", "filename"]:
                self.found.image = text
            case ["annotation", "size", "width"]:
                self.found.width = text
            case ["annotation", "size", "height"]:
                self.found.height = text
            case ["annotation", "object", "name"]:
                self.found.boxes[-1].label = text
            case ["annotation", "object", "bndbox", corner] if corner in CORNERS:
                self.found.boxes[-1].corners[CORNERS.index(corner)] = text
            case ["annotation", "object", other] if other in SHAPES or (other in FLAGS and text == "1"):
                self.found.ignored.add(other)
        self._path.pop()
        self._text = ""
