"""Pascal VOC: one XML file an image. Read with SAX, which knows the line of each element."""

from dataclasses import dataclass, field
from pathlib import Path
from xml.sax import SAXParseException
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl, Locator

import defusedxml.sax
from defusedxml import DefusedXmlException

CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass
class VocBox:
    """One <object>: its line, label and corners, as text; an element that is not there is empty text."""

    line: int
    label: str = ""
    corners: list[str] = field(default_factory=lambda: [""] * 4)


@dataclass
class VocFile:
    """One file: the image's name and size as text, and its boxes."""

    image: str = ""
    width: str = ""
    height: str = ""
    boxes: list[VocBox] = field(default_factory=list)


def read_voc_file(path: Path) -> VocFile:
    """Return what one file says; ValueError names file and line where it is not Pascal VOC."""
    handler = _Handler()
    try:
        defusedxml.sax.parse(str(path), handler, forbid_dtd=True)
    except DefusedXmlException:
        raise ValueError(f"{path}: declares a DTD or entities, which are refused") from None
    except Exception as error:  # xml.sax.SAXParseException, or expat's own for a broken encoding
        line = error.getLineNumber() if isinstance(error, SAXParseException) else 1
        raise ValueError(f"{path}:{line}: not valid XML: {getattr(error, 'getMessage', error.__str__)()}") from None
    if not handler.found.image:
        raise ValueError(f"{path}:1: no <filename> in an <annotation>; is this Pascal VOC?")
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
        self._path.pop()
        self._text = ""
