"""Where elements stand in JSON files: the line and column of `annotations[17] (id 42).bbox[2]`.

Python's JSON parser keeps no lines. One pass over the text follows what is asked for; that parser skips the rest.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import reduce
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from localizer.datasets.readers.json_text import as_dict, as_text
from localizer.findings import Finding

BLANK = re.compile(r"[ \t\n\r]*")
PARSE = json.JSONDecoder(parse_float=str, parse_int=str).raw_decode  # as the readers, which take any number
INDEX = re.compile(r"\[([0-9]{1,9})\]")
STEP_END = re.compile(r"[.\[]| \(id |\Z")  # what may follow a key; a key may contain it, too
ID_END = re.compile(r"\)(?=[.\[]|\Z)")
IMAGE_LISTS = ("_via_img_metadata", "assets")  # of VIA and VoTT, whose elements begin with an image's name
IMAGE_NAMES = (  # where an image's name is: of VIA, of VoTT, of Labelbox, of Labelbox's former format
    *(("filename",), ("asset", "name"), ("data_row", "external_id"), ("data_row", "row_data")),
    *(("External ID",), ("Labeled Data",)),
)
MAX_STEPS = 100  # keys that the next step may be


class Position(NamedTuple):
    """A place in a text file, counted from 1; column: in characters, None where only the line is known."""

    line: int
    column: int | None


class Wanted(NamedTuple):
    """An element, and what of it is still to be found below a value: `.bbox[2]`."""

    element: str
    rest: str


Step = str | int  # a key, or a position in a list
Steps = Mapping[Step, Sequence[Wanted]]


def with_lines(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings, those of a JSON file's elements with the line; unchanged where it can't be told."""
    return [
        replace(finding, line=position.line) if position else finding
        for finding, position in zip(findings, positions_of(findings), strict=True)
    ]


def positions_of(findings: Sequence[Finding]) -> list[Position | None]:
    """Return where each finding is in its file; None where only the file is known. Each JSON file is read once."""
    elements: defaultdict[str, set[str]] = defaultdict(set)
    for finding in findings:
        if not finding.line and finding.column:
            elements[finding.file].add(finding.column)
    found = {file: element_positions(_json_text(Path(file)), names) for file, names in elements.items()}
    return [
        Position(finding.line, None) if finding.line else found.get(finding.file, {}).get(finding.column)
        for finding in findings
    ]


def _json_text(path: Path) -> str:
    """Return the text of a file that begins as JSON does; an empty one of any other."""
    with suppress(OSError, ValueError):
        if path.is_file():
            with path.open("rb") as file:
                start = file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()
            return path.read_text("utf-8-sig") if start[:1] in (b"{", b"[") else ""
    return ""


def element_positions(text: str, elements: Iterable[str]) -> dict[str, Position]:
    """Return where elements begin in a JSON text: `annotations[17] (id 42).bbox[2]`, `a.png.regions[0]`.

    Of an element that isn't there it is the innermost value around it, `annotations[17]`; the element is left out where
    there is none, and where the text is no JSON up to there.
    """
    search = _Search(text)
    with suppress(ValueError, IndexError, RecursionError):
        search.whole([*elements])
    return dict(search.positions())


class _Search:
    """One pass over a JSON text. Methods take the offset at which a value begins, and return that of its end."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.found: dict[str, tuple[int, int]] = {}  # of an element: how much of it is missing, and the offset

    def positions(self) -> Iterator[tuple[str, Position]]:
        """Yield the elements found, in the order of the text."""
        line, line_start, before = 1, 0, 0
        for element, (_, offset) in sorted(self.found.items(), key=lambda item: item[1][1]):
            line += self.text.count("\n", before, offset)
            line_start = max(line_start, self.text.rfind("\n", before, offset) + 1)
            before = offset
            yield element, Position(line, offset - line_start + 1)

    def whole(self, elements: Sequence[str]) -> None:
        """Search the whole text."""
        at = self._blank(0)
        wanted = [Wanted(element, element if element.startswith("[") else f".{element}") for element in elements]
        if self.text[at] == "{":
            wanted += [Wanted(element, rest) for element in elements for rest in _of_single(element)]
        self._inside(at, wanted, named=True)

    def _value(self, at: int, wanted: Sequence[Wanted]) -> int:
        """Note where a value begins for those that it is, or is around, and search it for the latter."""
        for element, rest in wanted:
            if element not in self.found or len(rest) <= self.found[element][0]:
                self.found[element] = len(rest), at
        inner = [one for one in wanted if one.rest]
        return self._inside(at, inner, named=False) if inner else self._skip(at)

    def _skip(self, at: int) -> int:
        return PARSE(self.text, at)[1]

    def _inside(self, at: int, wanted: Sequence[Wanted], *, named: bool) -> int:
        """Search a list or an object; named: of images, with whose names elements may begin."""
        if self.text[at] == "{":
            return self._object(at, wanted, named=named)
        return self._list(at, wanted, named=named) if self.text[at] == "[" else self._skip(at)

    def _object(self, at: int, wanted: Sequence[Wanted], *, named: bool) -> int:
        at, steps, number = self._blank(at + 1), _steps(wanted), 0
        while self.text[at] != "}":
            key, at = PARSE(self.text, self._after(at, '"') - 1)
            at = self._blank(self._after(self._blank(at), ":"))
            inner = [*steps.get(key, ()), *(steps.get(number, ()) if key.isdecimal() else ())]  # {"0": ...} is a list
            if named and key in IMAGE_LISTS:
                at = self._inside(at, wanted, named=True)
            else:
                at = self._value(at, inner) if inner or not named else self._image(at, steps)
            at, number = self._next(at), number + 1
        return at + 1

    def _list(self, at: int, wanted: Sequence[Wanted], *, named: bool) -> int:
        at, steps, number = self._blank(at + 1), _steps(wanted), 0
        while self.text[at] != "]":
            inner = steps.get(number, ())
            at = self._value(at, inner) if inner or not named else self._image(at, steps)
            at, number = self._next(at), number + 1
        return at + 1

    def _image(self, at: int, steps: Steps) -> int:
        """Search a value that may be an image, if its name is one of the steps."""
        if self.text[at] != "{":
            return self._inside(at, (), named=False)  # a list item by item: as a whole it may take much memory
        value, end = PARSE(self.text, at)
        if wanted := [one for name in _names(value) for one in steps.get(name, ())]:
            self._value(at, wanted)
        return end

    def _blank(self, at: int) -> int:
        return BLANK.match(self.text, at).end()  # type: ignore[union-attr] # it matches everywhere

    def _after(self, at: int, char: str) -> int:
        """Return the offset after a character; ValueError if another is there."""
        if self.text[at] != char:
            raise ValueError(f"expected {char} at {at}")
        return at + 1

    def _next(self, at: int) -> int:
        """Return where the next value or key begins, or the list or object ends."""
        at = self._blank(at)
        return at if self.text[at] in "]}" else self._blank(self._after(at, ","))


def _steps(wanted: Iterable[Wanted]) -> Steps:
    """Return what is wanted by what may be its next step. A key may contain dots, so that there may be several."""
    steps: defaultdict[Step, list[Wanted]] = defaultdict(list)
    for element, rest in wanted:
        # An id may contain what ends it, too.
        afters = [rest[found.end() :] for found in ID_END.finditer(rest)] if rest.startswith(" (id ") else [rest]
        for after in afters:
            if index := INDEX.match(after):
                steps[int(index[1])].append(Wanted(element, after[index.end() :]))
            elif after.startswith("."):
                for found in islice(STEP_END.finditer(after, 1), MAX_STEPS):
                    steps[after[1 : found.start()]].append(Wanted(element, after[found.start() :]))
    return steps


def _of_single(element: str) -> Iterator[str]:
    """Yield what an element is called in a file of a single task or image, which isn't in a list."""
    if element.startswith("[0]"):  # Label Studio
        yield element.removeprefix("[0]")
    if ".regions[" in element:  # VoTT
        yield element[element.rindex(".regions[") :]


def _names(value: Any) -> Iterator[str]:
    """Yield what an object may be called, as the image that it is about."""
    for path in IMAGE_NAMES if isinstance(value, dict) else ():
        if name := as_text(reduce(lambda inner, key: as_dict(inner).get(key), path, value)):
            yield name
