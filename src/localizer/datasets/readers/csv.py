"""CSV: one row per box, columns of any name. Strict, since a lenient parser moves values to other columns."""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from localizer.datasets.readers.row import BackgroundImage, Ignored, Item, Row
from localizer.datasets.readers.table import PART, Layout, getter
from localizer.datasets.readers.text import checked_bytes, text_lines
from localizer.findings import Finding, bad_file, count_of, critical, raise_if_any

if TYPE_CHECKING:
    from localizer.dataset import CsvColumns, DatasetConfig

TITLE = "CSV, one row per box: any separator, header or none, columns of any name"
PATTERN = "*.csv"
SUFFIXES = (".csv", ".tsv", ".txt", ".psv", "")
NO_BOX = ("", "nan", "none", "null")  # all four values of an image without a box
SHOWN = 60  # characters of a cell that is no box
MAX_FIELD = 65_536  # characters; more is a quote that was never closed
TOO_LONG = f"a field of over {MAX_FIELD} characters; is a quote not closed?"
Records = Iterator[tuple[int, list[str]]]


def sniff(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in SUFFIXES


def read(source: Path, config: "DatasetConfig", images: Path | None) -> Iterator[Item]:
    """Yield a row per record; BadFileError lists the faults of the file, its header or its ragged rows."""
    return rows(source.as_posix(), csv_records(source, Layout.of(config)), config)


def rows(file: str, records: Records, config: "DatasetConfig") -> Iterator[Item]:
    """Yield the items of records, the first of which is the header; an image with an empty box has none."""
    first, header = next(records, (1, []))
    used = used_columns(config.columns)
    raise_if_any(list(_header_faults(file, first or None, header, used=list(used.values()))))
    numbers = {f"box_{number}" for number in range(1, 5)} | {"width", "height"}
    decimals = {name: config.decimal if name in numbers else "." for name in Row._fields[3:]}
    get = [getter(header, used.get(name), decimal=decimals[name]) for name in Row._fields[3:]]
    plain = all(name in header for name in used.values()) and config.decimal == "."
    indices = [header.index(used[name]) if name in used else None for name in Row._fields[3:]] if plain else []
    whole = header.index(used["box_1"] if used["box_1"] in header else column_of(used["box_1"]))
    ragged = []
    for line, fields in records:
        if len(fields) != len(header):
            ragged.append(field_count(file, line, len(fields), len(header)))
            continue
        values = ["" if i is None else fields[i] for i in indices] if plain else [take(fields) for take in get]
        row = Row(file, line, "", *values)
        if row.box_1 == row.box_2 == row.box_3 == row.box_4 and row.box_1.strip().lower() in NO_BOX:
            yield _without_box(row, "" if plain else fields[whole])
        else:
            yield row
    raise_if_any(ragged)
    if unused := [name for name in header if name not in _columns_of([*used.values()])]:
        yield Ignored(f"the columns {', '.join(unused)}")


def _without_box(row: Row, cell: str) -> Row | BackgroundImage:
    """Return an image without a box; or the row, with the text of the cell that has a list or object but no box."""
    if row.box_1 or cell.strip().lower() in (*NO_BOX, "[]", "{}"):
        return BackgroundImage(row.image, row.width, row.height)
    return row._replace(box_1=cell[:SHOWN])


def field_count(file: str, line: int, found: int, wanted: int) -> Finding:
    """Return the finding on a row that has not as many fields as the header."""
    got, expected = f"{found}", f"{count_of(wanted, 'field')}, as in the header"
    fix = "quote values that contain the separator, or give the missing ones"
    return critical(file, "field_count", line=line, got=got, expected=expected, fix=fix)


def used_columns(columns: "CsvColumns | None") -> dict[str, str]:
    """Return the header's name for each field of `Row` that the table has; nothing for the other formats."""
    if columns is None:
        return {}
    boxes = {f"box_{position}": name for position, name in enumerate(columns.box, start=1)}
    others = {key: getattr(columns, key) for key in ("image", "label", "group", "width", "height")}
    others["given_split"] = columns.split
    return boxes | {key: name for key, name in others.items() if name is not None}


def column_of(name: str) -> str:
    """Return the column that the name of a part stands for, `bbox` for `bbox[0]`; of others the name itself."""
    found = PART.match(name)
    return found["column"] if found else name


def _columns_of(names: Iterable[str]) -> set[str]:
    return {*names} | set(map(column_of, names))


def csv_records(path: Path, layout: Layout) -> Records:
    """Yield (physical line, fields) for each record of a strict CSV, blank lines left out; the first is the header.

    Without a header, one is made up: 1, 2, 3.
    """
    expected = "a CSV: a header, and one row per box"
    content = checked_bytes(path, expected=expected, encoding=layout.encoding)
    reader = csv.reader(text_lines(content), strict=True, delimiter=layout.separator)
    line, named = 1, layout.header
    try:
        for fields in reader:
            if fields:
                if any(len(field) > MAX_FIELD for field in fields):
                    raise csv.Error(TOO_LONG)
                if not named:
                    yield 0, [str(number) for number in range(1, len(fields) + 1)]
                    named = True
                yield line, [field.strip() for field in fields] if layout.strip else fields
            line = reader.line_num + 1
    except csv.Error as error:
        got, fix = _readable(str(error)), "correct the quotes on this line"
        raise bad_file(path.as_posix(), "csv_invalid", line=line, got=got, expected="valid CSV", fix=fix) from None


def _readable(message: str) -> str:
    """Return a message of the csv module in a user's words."""
    if message.startswith("field larger than"):
        return TOO_LONG
    return "a quote that is not closed" if message == "unexpected end of data" else message


def _header_faults(file: str, line: int | None, header: list[str], *, used: list[str]) -> Iterator[Finding]:
    if len(header) == 1 and ";" in header[0]:
        fix = "set `separator` in dataset.yaml, or save it with commas"
        yield critical(file, "semicolons", line=line, got="semicolons", expected="commas between columns", fix=fix)
        return
    for name in (name for name in used if not _columns_of([name]) & set(header)):
        got = f"the columns {', '.join(header) or '(none)'}"
        wish, fix = f"a column {name!r}", "correct the header, or `columns` in dataset.yaml"
        yield critical(file, "column_missing", line=line, column=name, got=got, expected=wish, fix=fix)
    for name in sorted({name for name in header if name and header.count(name) > 1}):
        got, expected, fix = str(header.count(name)), f"one column {name!r}", "rename or remove one"
        yield critical(file, "column_twice", line=line, column=name, got=got, expected=expected, fix=fix)
    for name in (name for name in header if name != name.strip()):
        got, stripped = f"{name!r}, with spaces around it", repr(name.strip())
        fix = "remove them, or set `strip: true` in dataset.yaml"
        yield critical(file, "column_spaces", line=line, column=name, got=got, expected=stripped, fix=fix)
