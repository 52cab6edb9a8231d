"""Tables of annotations, CSV or JSON records: a header, then one row per box or image, all values as text."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localizer.datasets.readers.json_text import as_text, documents, parse
from localizer.findings import bad_file

if TYPE_CHECKING:
    from localizer.dataset import DatasetConfig

PART = re.compile(r"(?P<column>.+?)(?:\[(?P<index>[0-9])\]|\.(?P<key>[^.\[\]]+))\Z")  # `bbox[0]`, `bbox.x`
NUMBERS = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
LIST = re.compile(rf"[\[({{]?\s*{NUMBERS.pattern}(?:(?:\s*,\s*|\s+|\s*;\s*){NUMBERS.pattern})+\s*,?\s*[\])}}]?\Z")


@dataclass(frozen=True)
class Layout:
    """How a CSV is written: see the keys of the same names in `DatasetConfig`."""

    encoding: str = "utf-8"
    separator: str = ","
    decimal: str = "."
    header: bool = True
    strip: bool = False

    @classmethod
    def of(cls, config: "DatasetConfig") -> "Layout":
        return cls(**{name: getattr(config, name) for name in cls.__dataclass_fields__})


def json_records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (0, the keys), then (index, values) of each record of a JSON list, or (line, values) of JSON Lines."""
    found = documents(path)
    is_list = len(found) == 1 and found[0].line is None
    records = found[0].value if is_list else [one.value for one in found]
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        got, expected, fix = (
            "JSON of another structure",
            "a list of objects, or one object a line",
            "is it the right file?",
        )
        raise bad_file(path.as_posix(), "no_records", got=got, expected=expected, fix=fix)
    header = list(dict.fromkeys(key for record in records for key in record))
    yield 0, header
    for index, record in enumerate(records):
        yield index if is_list else found[index].line or 0, [cell(record.get(key)) for key in header]


def cell(value: Any) -> str:
    """Return a JSON value as the text of a table's field."""
    if isinstance(value, list):
        return f"[{', '.join(map(cell, value))}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else as_text(value)


def getter(header: Sequence[str], name: str | None, *, decimal: str = ".") -> Callable[[Sequence[str]], str]:
    """Return the function that takes a column's value, or that of a part as `bbox[0]`, out of the fields of a row."""
    if name is None:
        return lambda fields: ""
    if name in header:
        index = header.index(name)
        if decimal == ".":
            return lambda fields: fields[index]
        return lambda fields: fields[index].replace(",", ".")
    found = PART.match(name)
    if found is None or found["column"] not in header:
        raise KeyError(name)
    index, key = header.index(found["column"]), found["key"]
    position = None if found["index"] is None else int(found["index"])
    return lambda fields: part(fields[index], position if position is not None else key)


def part(text: str, key: int | str) -> str:
    """Return one of a list's four numbers, or a value of an object, that is the text of a field; else an empty text."""
    if isinstance(key, int):
        numbers = split_list(text)
        return numbers[key] if len(numbers) == 4 else ""
    return as_text(split_object(text).get(key))


def split_list(text: str) -> list[str]:
    """Return the numbers of a text like `[1, 2, 3, 4]`, `(1 2 3 4)` or `1;2;3;4`; none of another text."""
    return NUMBERS.findall(text) if LIST.match(text.strip()) else []


def split_object(text: str) -> dict[str, Any]:
    """Return the object of a JSON text or a Python dictionary of texts and numbers; an empty one of another text."""
    if not text.lstrip().startswith("{"):
        return {}
    for written in (text, text.replace("'", '"')):
        try:
            value = parse(written)
        except (ValueError, RecursionError):
            continue
        return value if isinstance(value, dict) else {}
    return {}
