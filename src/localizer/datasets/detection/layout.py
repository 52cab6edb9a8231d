"""Detecting how a CSV is written: its encoding, separator, decimal mark, header and blanks."""

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from localizer.datasets.readers.table import LIST, Layout
from localizer.datasets.readers.text import BOMS, checked_bytes, file_bytes
from localizer.findings import bad_file
from localizer.images.decoding import SUFFIXES

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
NUMBER = re.compile(r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*\Z")
COMMA_NUMBER = re.compile(r"\s*[+-]?[0-9]+,[0-9]+\s*\Z")
ROWS, BYTES = 200, 1_000_000  # of the beginning of a file, that are looked at
SURE = 50  # bytes above 127 that one encoding alone explains
MOST = 0.9  # of the values of a column, or of the rows

Rows = list[list[str]]


class _Split(NamedTuple):
    """The rows of a sample by one separator, those of the usual number of fields, and its score; higher is likelier."""

    separator: str
    rows: Rows
    score: tuple[bool, int, int]


def detect_layout(path: Path, given: Mapping[str, Any]) -> tuple[Layout, list[str]]:
    """Return how a CSV is written, and one line of reason for all that isn't usual; `given` wins.

    BadFileError where the encoding isn't certain.
    """
    expected = "a CSV: one row per box"
    encoding = given.get("encoding") or _encoding(path, file_bytes(path, expected=expected))
    text = checked_bytes(path, expected=expected, encoding=encoding)[:BYTES].decode("utf-8-sig", "ignore")
    lines = text.splitlines(keepends=True)[: ROWS + 1]
    lines = lines[:-1] if len(lines) > ROWS else lines
    separators = [given["separator"]] if given.get("separator") else list(SEPARATORS)
    best = max((_split(lines, separator) for separator in separators), key=lambda one: one.score)
    numeric = _numeric_columns(best.rows[1:])
    header = given["header"] if given.get("header") is not None else _has_header(best.rows, numeric)
    decimal = given.get("decimal") or (best.separator != "," and _decimal(best.rows)) or "."
    layout = Layout(encoding, best.separator, decimal, header, _has_blanks(best.rows, numeric))
    return layout, list(_reasons(layout, given))


def _encoding(path: Path, content: bytes) -> str:
    """Return the encoding of a text: by its byte order mark, else UTF-8, else the one that charset-normalizer finds."""
    if marked := next((name for mark, name in BOMS.items() if content.startswith(mark)), None):
        return marked
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        return _guessed(path, content, error)
    return "utf-8"


def _guessed(path: Path, content: bytes, error: UnicodeDecodeError) -> str:
    from charset_normalizer import from_bytes  # takes a while to import, and is hardly ever needed

    matches = from_bytes(content[:BYTES])
    texts = {str(match): match.encoding for match in matches}
    if len(texts) == 1 and sum(byte > 127 for byte in content[:BYTES]) >= SURE:
        return texts.popitem()[1]
    line = content[: error.start].count(b"\n") + 1
    before = re.split(rb"\W", content[: error.start])[-1]
    after = re.split(rb"\W", content[error.start + 1 :], maxsplit=1)[0]
    word = (before + content[error.start : error.start + 1] + after).decode("cp1252", "replace")
    got = f"the byte {content[error.start]:#x}, which makes {word!r} in cp1252 (Western Europe)"
    fix = "pass --encoding cp1252 if that is right, else the name of its encoding"
    raise bad_file(path.as_posix(), "not_utf_8", line=line, got=got, expected="UTF-8 text", fix=fix) from None


def _split(lines: Sequence[str], separator: str) -> _Split:
    try:
        rows = [row for row in csv.reader(lines, delimiter=separator) if row]
    except csv.Error:
        rows = []
    (width, count), *_ = Counter(map(len, rows)).most_common(1) or [(0, 0)]
    usual = [row for row in rows if len(row) == width]
    score = (width > 1 and count >= MOST * len(rows), _numbers(usual, separator), width)
    return _Split(separator, usual if score[0] else rows, score)


def _numbers(rows: Rows, separator: str) -> int:
    """Return how many numbers the columns of the rows hold, four of them in a column of lists."""
    body = rows[1:] or rows
    lists = sum(_share(column, LIST) >= MOST for column in zip(*body, strict=True))
    comma = separator != ","
    return 4 * lists + len(_numeric_columns(body, comma=comma))


def _numeric_columns(rows: Rows, *, comma: bool = True) -> set[int]:
    if len({len(row) for row in rows}) != 1:
        return set()
    columns = enumerate(zip(*rows, strict=True))
    return {
        index for index, column in columns if _share(column, NUMBER) + (comma and _share(column, COMMA_NUMBER)) >= MOST
    }


def _share(column: Sequence[str], pattern: "re.Pattern[str]") -> float:
    """Return the share of a column's values, the blank ones left out, that match."""
    values = [value for value in column if value.strip()]
    return sum(bool(pattern.match(value.strip())) for value in values) / len(values) if values else 0.0


def _has_header(rows: Rows, numeric: set[int]) -> bool:
    """Return whether the first row differs from the others: no numbers, lists or images' names where they have them."""
    first = rows[0] if rows else []
    if len(rows) < 2:
        return not any(map(_is_number, first))
    if any(_is_number(first[index]) for index in numeric if index < len(first)):
        return False
    return not any(_alike(first[index], rows[1][index]) for index in range(min(len(first), len(rows[1]))))


def _is_number(value: str) -> bool:
    return bool(NUMBER.match(value) or COMMA_NUMBER.match(value))


def _alike(value: str, other: str) -> bool:
    """Return whether two values are both lists, objects, or names of images."""
    kinds = (LIST.match, lambda text: text.lstrip().startswith(("{", "[{")), _is_image)
    return any(kind(value.strip()) and kind(other.strip()) for kind in kinds)


def _is_image(value: str) -> bool:
    return PurePosixPath(value.replace("\\", "/")).suffix.lower() in SUFFIXES


def _decimal(rows: Rows) -> str | None:
    fields = [field for row in rows for field in row]
    with_comma = [field.strip() for field in fields if COMMA_NUMBER.match(field)]
    if all(len(field.split(",")[1]) == 3 and not field.startswith("0") for field in with_comma):
        return None  # thousands, as 1,200: then no number
    commas = len(with_comma)
    points = sum("." in field and bool(NUMBER.match(field)) for field in fields)
    return "," if commas > points else None


def _has_blanks(rows: Rows, numeric: set[int]) -> bool:
    """Return whether names of columns, or most values of a column of numbers, have blanks around them."""
    header = rows[0] if rows else []
    padded = [
        index for index in numeric if sum(row[index] != row[index].strip() for row in rows[1:]) > MOST * len(rows[1:])
    ]
    return any(name != name.strip() for name in header) or bool(padded)


def _reasons(layout: Layout, given: Mapping[str, Any]) -> list[str]:
    usual = Layout()
    words = {
        "encoding": f"encoding: {layout.encoding}",
        "separator": f"separator: {SEPARATORS.get(layout.separator, layout.separator)}",
        "decimal": "decimal: a comma",
        "header": "header: none, since the first row looks like the others; columns are called 1, 2, 3",
        "strip": "strip: blanks around names and values are left out",
    }
    found = [name for name in words if getattr(layout, name) != getattr(usual, name)]
    return [words[name] + (", as given" if given.get(name) is not None else "") for name in found]
