"""JSON files and JSON Lines: their values, and reading them without trust in their types. Numbers stay text."""

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from localizer.datasets.readers.text import checked_bytes
from localizer.findings import BadFileError, bad_file
from localizer.probing.file_names import as_utf8


class Document(NamedTuple):
    """A JSON value, and its line in a file of JSON Lines; None where it is the whole file."""

    line: int | None
    value: Any


def documents(path: Path) -> list[Document]:
    """Return the value of a JSON file, or those of its lines; BadFileError names the first line that is neither.

    The last file is remembered, so that reading it after `sniff` costs nothing.
    """
    status = path.stat()
    return _documents(path, status.st_mtime_ns, status.st_size)


def sniffed(path: Path) -> list[Any]:
    """Return the values of a file; none where it isn't JSON."""
    try:
        return [document.value for document in documents(path)]
    except (BadFileError, OSError):
        return []


@lru_cache(maxsize=1)
def _documents(path: Path, modified: int, size: int) -> list[Document]:
    text = checked_bytes(path, expected="JSON").decode("utf-8-sig")
    try:
        return [Document(None, parse(text))]
    except RecursionError:
        raise _invalid(path, 1, "values nested too deep") from None
    except json.JSONDecodeError as error:
        whole = error
    try:
        return list(_lines(text))
    except (json.JSONDecodeError, RecursionError):
        raise _invalid(path, whole.lineno, f"a parse error at character {whole.colno}: {whole.msg}") from None


def _lines(text: str) -> Iterator[Document]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield Document(number, parse(line))


def parse(text: str) -> Any:
    """Return the value of a JSON text with numbers as text, as the rules check them as written."""
    return json.loads(text, parse_float=str, parse_int=str, parse_constant=str)


def _invalid(path: Path, line: int, got: str) -> BadFileError:
    return bad_file(path.as_posix(), "json_invalid", line=line, got=got, expected="valid JSON", fix="correct it there")


def as_text(value: Any) -> str:
    """Return a text or number as text; empty for anything else."""
    return as_utf8(value) if isinstance(value, str) else ""


def as_dict(value: Any) -> dict[str, Any]:
    """Return an object; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """Return a list, or the values of an object; an empty list for anything else."""
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


def texts(values: dict[str, Any], *keys: str) -> list[str]:
    """Return the texts of some keys of an object."""
    return [as_text(values.get(key)) for key in keys]
