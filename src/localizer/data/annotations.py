"""Reading annotations, as they stand: one row a box, with its file and line, values as text."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from localizer.data.card import Card, CsvColumns
from localizer.data.tables import BOX
from localizer.data.voc import read_voc_file

COLUMNS = ["file", "line", "image", "label", *BOX, "width", "height"]
MAX_FIELD = 65_536  # characters; more is a quote that was never closed
SHOWN = 20  # faults that one message lists


def read_annotations(card: Card, raw: Path) -> pd.DataFrame:
    """Return a row a box, with COLUMNS, all text but `line`.

    Raises ValueError that lists the faults of file or schema, with their lines.
    """
    source = raw / card.annotations
    if not source.exists():
        raise ValueError(f"{source}: no such file; `annotations` in {raw.parent / 'dataset.yaml'} names it")
    rows = _read_csv(source, card.columns) if card.columns else _read_voc(source)
    if not rows:
        raise ValueError(f"{source}: not one box; a row a box was wanted below the header")
    return pd.DataFrame(rows, columns=COLUMNS)


def csv_records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (physical line, fields) for each record of a strict UTF-8 CSV, blank lines left out."""
    lines = io.StringIO(_read_text(path), newline=None)
    reader = csv.reader(lines, strict=True)
    line = 1
    try:
        for fields in reader:
            if fields:
                if max(map(len, fields)) > MAX_FIELD:
                    raise csv.Error(f"a field of over {MAX_FIELD} characters; is a quote not closed?")
                yield line, fields
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{path}:{line}: not valid CSV: {error}") from None


def _read_csv(path: Path, columns: CsvColumns) -> list[tuple[object, ...]]:
    records = csv_records(path)
    top, header = next(records, (1, []))
    chosen = [columns.image, columns.label, *columns.box, columns.width, columns.height]
    _check_header(f"{path}:{top}", header, [name for name in chosen if name])
    places = [header.index(name) if name else None for name in chosen]
    rows: list[tuple[object, ...]] = []
    ragged = []
    for line, fields in records:
        if len(fields) != len(header):
            ragged.append(f"{path}:{line}: {len(fields)} fields, wanted {len(header)} as in the header")
            continue
        rows.append((path.as_posix(), line, *("" if place is None else fields[place] for place in places)))
    _refuse(ragged)
    return rows


def _check_header(place: str, header: list[str], wanted: list[str]) -> None:
    """Raise ValueError that lists all that is wrong with a header."""
    if len(header) == 1 and ";" in header[0]:
        raise ValueError(f"{place}: separated by semicolons; save it with commas")
    there = f"the columns are {', '.join(header) or 'none'}"
    faults = [f"{place}: no column {name!r}; {there}" for name in wanted if name not in header]
    faults += [f"{place}: column {name!r} stands twice" for name in sorted(set(header)) if header.count(name) > 1]
    faults += [f"{place}: column {name!r} has spaces around its name" for name in header if name != name.strip()]
    _refuse(faults)


def _read_text(path: Path) -> str:
    """Return a file's text, without a byte order mark; ValueError says what else the file is."""
    if not path.is_file():
        raise ValueError(f"{path}: not a regular file; a CSV was wanted")
    content = path.read_bytes()
    if content.startswith(b"\x1f\x8b"):
        raise ValueError(f"{path}: compressed with gzip; unpack it")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError(f"{path}: UTF-16; save it as UTF-8")
    if not content.strip():
        raise ValueError(f"{path}: empty; a header and a row a box were wanted")
    if b"\0" in content:
        raise ValueError(f"{path}:{_line_of(content, content.index(0))}: a NUL byte; is this a text file?")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = _line_of(content, error.start)
        raise ValueError(f"{path}:{line}: byte {content[error.start]:#x} is not UTF-8; save it as UTF-8") from None


def _line_of(content: bytes, place: int) -> int:
    before = content[:place].replace(b"\r\n", b"\n")
    return before.count(b"\n") + before.count(b"\r") + 1


def _read_voc(folder: Path) -> list[tuple[object, ...]]:
    """Return the rows of a folder of Pascal VOC files, in the order of their names."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: not a folder; Pascal VOC is a folder of .xml files")
    rows: list[tuple[object, ...]] = []
    faults = []
    for path in sorted(folder.glob("*.xml")):
        try:
            found = read_voc_file(path)
        except ValueError as error:
            faults.append(str(error))
            continue
        size = (found.width, found.height)
        rows += [(path.as_posix(), box.line, found.image, box.label, *box.corners, *size) for box in found.boxes]
    _refuse(faults)
    return rows


def _refuse(faults: list[str]) -> None:
    if len(faults) > SHOWN:
        faults = [*faults[:SHOWN], f"and {len(faults) - SHOWN} more"]
    if faults:
        raise ValueError("\n".join(faults))
