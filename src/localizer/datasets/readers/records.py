"""Records: a JSON list of objects, or JSON Lines, one per box, with keys of any name; read as a table is."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from localizer.datasets.readers.csv import rows
from localizer.datasets.readers.json_text import documents, sniffed
from localizer.datasets.readers.row import Item, Row
from localizer.datasets.readers.table import json_records

if TYPE_CHECKING:
    from localizer.dataset import DatasetConfig

TITLE = "JSON list of objects, or JSON Lines, one per box, keys of any name"
PATTERN = "*.json*"


def sniff(path: Path) -> bool:
    if not path.is_file():
        return False
    values = sniffed(path)
    records = values[0] if len(values) == 1 and isinstance(values[0], list) else values
    return bool(records) and all(isinstance(record, dict) and _flat(record) for record in records[:100])


def _flat(record: dict[str, object]) -> bool:
    """Return whether a record has, beside plain values, at most a box: a list or an object of plain values."""
    nested = [value for value in record.values() if isinstance(value, dict | list)]
    inner = [item for value in nested for item in (value.values() if isinstance(value, dict) else value)]
    return len(nested) <= 2 and not any(isinstance(item, dict | list) for item in inner)


def read(source: Path, config: "DatasetConfig", images: Path | None) -> Iterator[Item]:
    """Yield a row per object; its place is its line in JSON Lines, else the element: `[17]`."""
    is_list = documents(source)[0].line is None
    for item in rows(source.as_posix(), json_records(source), config):
        yield item._replace(line=None, element=f"[{item.line}]") if is_list and isinstance(item, Row) else item
