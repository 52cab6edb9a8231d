"""CSV: one row per box, columns of any name. Strict, since a lenient parser moves values to other columns."""

import csv
from collections.abc import Iterator
from pathlib import Path

from localizer.dataset import DatasetConfig
from localizer.datasets.readers.row import Ignored, Item, Row
from localizer.datasets.readers.text import checked_bytes, text_lines
from localizer.findings import Finding, bad_file, critical, raise_if_any

PATTERN = "*.csv"
MAX_FIELD = 65_536  # characters; more is a quote that was never closed
TOO_LONG = f"a field of over {MAX_FIELD} characters; is a quote not closed?"


def sniff(path: Path) -> bool:
    return not path.is_dir() and path.suffix.lower() != ".json"


def read(source: Path, config: DatasetConfig, images: Path | None) -> Iterator[Item]:
    """Yield a row per record; BadFileError lists the faults of the file, its header or its ragged rows."""
    records = csv_records(source)
    file, (first, header) = source.as_posix(), next(records, (1, []))
    used = used_columns(config)
    raise_if_any(list(_header_faults(file, first, header, expected=list(used.values()))))
    indices = [header.index(used[key]) if key in used else None for key in Row._fields[3:]]
    ragged = []
    for line, fields in records:
        if len(fields) == len(header):
            yield Row(file, line, "", *["" if index is None else fields[index] for index in indices])
        else:
            got, expected = f"{len(fields)} fields", f"{len(header)} as in the header"
            fix = "quote values that contain a comma, or give the missing ones"
            ragged.append(critical(file, "field_count", line=line, got=got, expected=expected, fix=fix))
    raise_if_any(ragged)
    if unused := [name for name in header if name not in used.values()]:
        yield Ignored(f"the columns {', '.join(unused)}")


def used_columns(config: DatasetConfig) -> dict[str, str]:
    """Return the header's name for each field of `Row` that the CSV has; nothing for the other formats."""
    if config.columns is None:
        return {}
    boxes = {f"box_{position}": name for position, name in enumerate(config.columns.box, start=1)}
    others = {key: getattr(config.columns, key) for key in ("image", "label", "group", "width", "height")}
    others["given_split"] = config.columns.split
    return boxes | {key: name for key, name in others.items() if name is not None}


def csv_records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (physical line, fields) for each record of a strict UTF-8 CSV, blank lines left out."""
    content = checked_bytes(path, expected="a CSV: a header, and one row per box")
    reader = csv.reader(text_lines(content), strict=True)
    line = 1
    try:
        for fields in reader:
            if fields:
                if any(len(field) > MAX_FIELD for field in fields):
                    raise csv.Error(TOO_LONG)
                yield line, fields
            line = reader.line_num + 1
    except csv.Error as error:
        got, fix = _readable(str(error)), "correct the quotes on this line"
        raise bad_file(path.as_posix(), "csv_invalid", line=line, got=got, expected="valid CSV", fix=fix) from None


def _readable(message: str) -> str:
    """Return a message of the csv module in a user's words."""
    if message.startswith("field larger than"):
        return TOO_LONG
    return "a quote that is not closed" if message == "unexpected end of data" else message


def _header_faults(file: str, line: int, header: list[str], *, expected: list[str]) -> Iterator[Finding]:
    if len(header) == 1 and ";" in header[0]:
        yield critical(file, "semicolons", line=line, got="semicolons", expected="commas", fix="save it with commas")
        return
    for name in (name for name in expected if name not in header):
        got = f"the columns {', '.join(header) or '(none)'}"
        wish, fix = f"a column {name!r}", "correct the header, or `columns` in dataset.yaml"
        yield critical(file, "column_missing", line=line, column=name, got=got, expected=wish, fix=fix)
    for name in sorted({name for name in header if header.count(name) > 1}):
        got, fix = f"{header.count(name)} columns {name!r}", "rename or remove one"
        yield critical(file, "column_twice", line=line, column=name, got=got, expected="one", fix=fix)
    for name in (name for name in header if name != name.strip()):
        got, stripped = f"{name!r}, with spaces around it", repr(name.strip())
        yield critical(file, "column_spaces", line=line, column=name, got=got, expected=stripped, fix="remove them")
