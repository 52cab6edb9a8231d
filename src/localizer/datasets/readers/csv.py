"""CSV: one row a box, columns of any name. Strict, since a lenient reader moves values to other columns."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from localizer.dataset import CsvColumns
from localizer.datasets.readers.row import Row
from localizer.datasets.readers.text import checked_bytes
from localizer.findings import BadFileError, Finding, critical, raise_if_any

MAX_FIELD = 65_536  # characters; more is a quote that was never closed
TOO_LONG = f"a field of over {MAX_FIELD} characters; is a quote not closed?"


def read_csv(path: Path, columns: CsvColumns) -> Iterator[Row]:
    """Yield the rows of a CSV; BadFileError lists the faults of the file, its header or its ragged rows."""
    records = csv_records(path)
    top, header = next(records, (1, []))
    used = used_columns(columns)
    raise_if_any(list(_header_faults(path, top, header, expected=list(used.values()))))
    places = [header.index(used[key]) if key in used else None for key in Row._fields[3:]]
    file, width, ragged = path.as_posix(), len(header), []
    for line, fields in records:
        if len(fields) == width:
            yield Row(file, line, "", *["" if place is None else fields[place] for place in places])
        else:
            ragged.append(_ragged(file, line, got=len(fields), expected=width))
    raise_if_any(ragged)


def used_columns(columns: CsvColumns) -> dict[str, str]:
    """Return the header's name for each field of `Row` that the CSV has."""
    boxes = {f"box_{position}": name for position, name in enumerate(columns.box, start=1)}
    others = {key: getattr(columns, key) for key in ("image", "label", "group", "width", "height")}
    return boxes | {key: name for key, name in others.items() if name is not None}


def csv_records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (physical line, fields) for each record of a strict UTF-8 CSV, blank lines left out."""
    content = checked_bytes(path, expected="a CSV: a header, and a row a box")
    lines = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline=None)
    reader = csv.reader(lines, strict=True)
    line = 1
    try:
        for fields in reader:
            if fields:
                if any(len(field) > MAX_FIELD for field in fields):
                    raise csv.Error(TOO_LONG)
                yield line, fields
            line = reader.line_num + 1
    except csv.Error as error:
        told = {"got": _readable(str(error)), "expected": "valid CSV", "fix": "correct the quotes on this line"}
        raise BadFileError([critical(path.as_posix(), "csv_invalid", line=line, **told)]) from None


def _readable(message: str) -> str:
    """Return what the csv module says, in words that tell a user what to look for."""
    if message.startswith("field larger than"):
        return TOO_LONG
    return "a quote that is not closed" if message == "unexpected end of data" else message


def _ragged(file: str, line: int, *, got: int, expected: int) -> Finding:
    fix = "quote values that hold a comma, or give the missing ones"
    return critical(
        file, "field_count", line=line, got=f"{got} fields", expected=f"{expected} as in the header", fix=fix
    )


def _header_faults(path: Path, line: int, header: list[str], *, expected: list[str]) -> Iterator[Finding]:
    """Yield all that is wrong with a header."""
    file = path.as_posix()
    if len(header) == 1 and ";" in header[0]:
        yield critical(file, "semicolons", line=line, got="semicolons", expected="commas", fix="save it with commas")
        return
    there = f"the columns {', '.join(header) or '(none)'}"
    fix = "correct the header, or the names in the card's columns"
    for name in expected:
        if name not in header:
            yield critical(
                file, "column_missing", line=line, column=name, got=there, expected=f"a column {name!r}", fix=fix
            )
    for name in sorted(set(header)):
        if header.count(name) > 1:
            told = {"got": f"{header.count(name)} columns {name!r}", "expected": "one", "fix": "rename or remove one"}
            yield critical(file, "column_twice", line=line, column=name, **told)
    for name in header:
        if name != name.strip():
            told = {"got": f"{name!r}, with spaces around it", "expected": f"{name.strip()!r}", "fix": "remove them"}
            yield critical(file, "column_spaces", line=line, column=name, **told)
