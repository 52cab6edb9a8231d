"""Detecting the format of annotation files, by what is in them."""

from collections import Counter
from pathlib import Path

from localizer.datasets.annotations import BELOW, JSON, READERS, candidates
from localizer.datasets.readers.json_text import documents
from localizer.datasets.readers.row import Reader
from localizer.findings import bad_file

GENERAL = ("csv", "records")  # formats that other tools' files are of, too
SNIFFED = 20  # files of a folder
# What files of other kinds are, and what to do.
KINDS = {
    ".xlsx": ("an Excel workbook", "save it as CSV"),
    ".ods": ("a spreadsheet", "save it as CSV"),
    ".zip": ("a ZIP file", "unpack it, and name its folder"),
    ".gz": ("a compressed file", "unpack it"),
    ".parquet": ("a Parquet file", "save it as CSV"),
    ".tfrecord": ("TFRecords", "export it in one of these"),
    ".mat": ("MATLAB data", "export it in one of these"),
    ".pkl": ("a Python pickle, which is never opened", "save it as CSV"),
}


def detect_format(path: Path) -> str:
    """Return the format of a file or folder; ValueError where it doesn't exist, or no or several formats fit."""
    if not path.exists():
        raise ValueError(f"{path}: no such file or folder")
    if not (path.is_file() or path.is_dir()):
        fix = "name the file itself"
        raise bad_file(path.as_posix(), "not_a_file", got="no regular file", expected="annotations", fix=fix)
    fitting = [name for name, reader in READERS.items() if _fits(reader, path)]
    if not fitting and path.suffix.lower() in JSON:
        documents(path)  # BadFileError where it is broken
    special = [name for name in fitting if name not in GENERAL]
    if len(special or fitting) == 1:
        return (special or fitting)[0]
    raise _unknown(path, fitting)


def _fits(reader: Reader, path: Path) -> bool:
    if reader.sniff(path):
        return True
    if not path.is_dir() or reader.PATTERN.startswith(BELOW):
        return False
    return any(map(reader.sniff, candidates(path, reader.PATTERN)[:SNIFFED]))


def _unknown(path: Path, fitting: list[str]) -> ValueError:
    suffixes = Counter(file.suffix or "no suffix" for file in path.rglob("*") if file.is_file())
    listed = ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common(5)) or "no file"
    likely, fix = KINDS.get(path.suffix.lower(), ("a file of none of these", "export it in one of these"))
    got = f"a folder with {listed}" if path.is_dir() else likely
    expected = f"annotations of one of the formats {', '.join(READERS)}"
    fix = f"name one of the files: they are of {' and of '.join(fitting)}" if fitting else fix
    return bad_file(path.as_posix(), "format_unknown", got=got, expected=expected, fix=fix)
