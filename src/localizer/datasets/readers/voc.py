"""Pascal VOC: one XML file an image. Read with SAX, which knows the line of each element."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax import SAXParseException
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl, Locator

import defusedxml.sax
from defusedxml import DefusedXmlException

from localizer.datasets.readers.row import Row
from localizer.findings import BadFileError, Finding, critical, raise_if_any

CORNERS = ("xmin", "ymin", "xmax", "ymax")
# Of an object, what Localizer does not read: flags say something where they are 1, shapes where they are there.
FLAGS, SHAPES = ("difficult", "truncated", "occluded"), ("part", "mask", "polygon")


@dataclass
class VocBox:
    """One <object>: its line, label and corners, as text; an element that is not there is empty text."""

    line: int
    label: str = ""
    corners: list[str] = field(default_factory=lambda: [""] * 4)


@dataclass
class VocFile:
    """One file: the image's name and size as text, its boxes, and what of FLAGS and SHAPES it says beside them."""

    image: str = ""
    width: str = ""
    height: str = ""
    boxes: list[VocBox] = field(default_factory=list)
    others: set[str] = field(default_factory=set)


def read_voc(folder: Path) -> Iterator[Row]:
    """Yield the rows of the Pascal VOC files below a folder, sorted by path; BadFileError lists the broken ones."""
    for path, found in read_voc_files(folder):
        yield from rows_of(path, found)


def read_voc_files(folder: Path) -> Iterator[tuple[Path, VocFile]]:
    """Yield the Pascal VOC files below a folder, sorted by path; BadFileError, at the end, lists the broken ones."""
    if not folder.is_dir():
        told = {"got": "no folder", "expected": "a folder of Pascal VOC's .xml files", "fix": "name the folder itself"}
        raise BadFileError([critical(folder.as_posix(), "not_a_folder", line=None, **told)])
    faults = list[Finding]()
    for path in sorted(folder.rglob("*.xml")):
        try:
            found = read_voc_file(path)
        except BadFileError as error:
            faults += error.findings
            continue
        yield path, found
    raise_if_any(faults)


def rows_of(path: Path, found: VocFile) -> Iterator[Row]:
    """Yield a row for each box of a file."""
    for box in found.boxes:
        texts = [found.image, box.label, "", *box.corners, found.width, found.height]
        yield Row(path.as_posix(), box.line, "", *texts)


def rows_without_box(path: Path, found: VocFile) -> Iterator[Row]:
    """Yield a row without label and box if the file has no box."""
    if not found.boxes:
        yield Row(path.as_posix(), 1, "", found.image, width=found.width, height=found.height)


def read_voc_file(path: Path) -> VocFile:
    """Return what one file says; BadFileError names file and line where it is not Pascal VOC."""
    file, expected = path.as_posix(), "Pascal VOC"
    handler = _Handler()
    try:
        defusedxml.sax.parse(str(path), handler, forbid_dtd=True)
    except DefusedXmlException:
        told = {"got": "a DTD or entities, which are refused", "expected": expected, "fix": "remove them"}
        raise BadFileError([critical(file, "xml_entities", line=None, **told)]) from None
    except Exception as error:  # xml.sax.SAXParseException, or expat's own for a broken encoding
        line = error.getLineNumber() if isinstance(error, SAXParseException) else 1
        got = getattr(error, "getMessage", error.__str__)()
        told = {"got": got, "expected": "valid XML", "fix": "correct or replace the file"}
        raise BadFileError([critical(file, "xml_invalid", line=line, **told)]) from None
    if not handler.found.image:
        told = {"got": "no <filename> in an <annotation>", "expected": expected, "fix": "is this Pascal VOC?"}
        raise BadFileError([critical(file, "not_voc", line=1, **told)])
    return handler.found


class _Handler(ContentHandler):
    """Keeps the path of open elements and writes down the text of those that matter."""

    def __init__(self) -> None:
        super().__init__()
        self.found = VocFile()
        self._path: list[str] = []
        self._text = ""
        self._place: Locator | None = None

    def setDocumentLocator(self, locator: Locator) -> None:  # noqa: N802
        self._place = locator

    def startElement(self, name: str, attrs: AttributesImpl) -> None:  # noqa: N802
        self._path.append(name)
        self._text = ""
        if self._path == ["annotation", "object"]:
            self.found.boxes.append(VocBox((self._place and self._place.getLineNumber()) or 0))

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
                self.found.others.add(other)
        self._path.pop()
        self._text = ""
