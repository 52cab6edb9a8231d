"""XML files: their elements with lines, by SAX, which knows them. DTDs and entities are refused."""

from pathlib import Path
from typing import NamedTuple
from xml.sax import SAXParseException
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl, Locator

import defusedxml.sax
from defusedxml import DefusedXmlException

from localizer.datasets.readers.text import not_readable
from localizer.findings import BadFileError, bad_file


class Element(NamedTuple):
    """An element: its path `dataset/images/image`, line, attributes and its own text, stripped."""

    path: str
    line: int
    values: dict[str, str]
    text: list[str]

    def get(self, *names: str) -> list[str]:
        """Return the values of some attributes; empty for those that it lacks."""
        return [self.values.get(name, "") for name in names]


def elements(path: Path, *, expected: str) -> list[Element]:
    """Return the elements of a file in their order; BadFileError names file and line where it is no XML."""
    handler = _Handler()
    parse(path, handler, expected=expected)
    return handler.elements


def parse(path: Path, handler: ContentHandler, *, expected: str) -> None:
    """Give the elements of a file to a handler; BadFileError names file and line where it is no XML."""
    file = path.as_posix()
    try:
        defusedxml.sax.parse(str(path), handler, forbid_dtd=True)
    except DefusedXmlException:
        got, fix = "one with them", "remove them: they are refused, since they can name other files"
        expected = f"{expected} without a document type (DTD) or entities"
        raise bad_file(file, "xml_entities", got=got, expected=expected, fix=fix) from None
    except OSError as error:
        raise not_readable(file, error, expected=expected) from None
    except Exception as error:  # xml.sax.SAXParseException, or expat's own for a broken encoding
        line = error.getLineNumber() if isinstance(error, SAXParseException) else 1
        got, fix = f"a parse error: {getattr(error, 'getMessage', error.__str__)()}", "correct or replace the file"
        raise bad_file(file, "xml_invalid", line=line, got=got, expected="valid XML", fix=fix) from None


def sniffed(path: Path) -> list[Element]:
    """Return the elements of a file; none where it isn't XML."""
    if path.suffix.lower() != ".xml" or not path.is_file():
        return []
    try:
        return elements(path, expected="XML")
    except BadFileError:
        return []


class _Handler(ContentHandler):
    def __init__(self) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self._locator: Locator | None = None

    def setDocumentLocator(self, locator: Locator) -> None:  # noqa: N802
        self._locator = locator

    def startElement(self, name: str, attrs: AttributesImpl) -> None:  # noqa: N802
        path = f"{self._open[-1].path}/{name}" if self._open else name
        line = (self._locator and self._locator.getLineNumber()) or 0
        element = Element(path, line, dict(attrs.items()), [])
        self.elements.append(element)
        self._open.append(element)

    def characters(self, content: str) -> None:
        if content.strip():
            self._open[-1].text.append(content)

    def endElement(self, name: str) -> None:  # noqa: N802
        self._open.pop()
