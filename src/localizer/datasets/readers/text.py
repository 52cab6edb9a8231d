"""Text files: their bytes, checked before anything is parsed, and their lines."""

import io
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from localizer.findings import BadFileError, bad_file

# How files begin that are no text in UTF-8: rule, what they are, fix.
SAVE = "save it as UTF-8, or, if it is a CSV, set"
UTF_16 = ("utf_16", "UTF-16", f"{SAVE} `encoding: utf-16` in dataset.yaml")
SIGNATURES = {
    b"\x1f\x8b": ("gzip", "a file compressed with gzip", "unpack it"),
    b"PK\x03\x04": ("zip", "a ZIP file, or an Excel workbook", "unpack it, or save the workbook as CSV"),
    b"\xff\xfe": UTF_16,
    b"\xfe\xff": UTF_16,
}


BOMS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8"}


def checked_bytes(path: Path, *, expected: str, encoding: str = "utf-8") -> bytes:
    """Return a file's content as UTF-8, which is text that is not blank; else BadFileError."""
    file, content = path.as_posix(), file_bytes(path, expected=expected)
    if encoding != "utf-8":
        content = _as_utf_8(file, content, encoding)
    check_bytes(file, content, expected=expected)
    return content


def file_bytes(path: Path, *, expected: str) -> bytes:
    """Return the content of a regular file; else, or where it can't be read, BadFileError."""
    file = path.as_posix()
    if not path.is_file():
        raise bad_file(file, "not_a_file", got="no regular file", expected=expected, fix="name the file itself")
    try:
        return path.read_bytes()
    except OSError as error:
        raise not_readable(file, error, expected=expected) from None


def not_readable(file: str, error: OSError, *, expected: str) -> BadFileError:
    """Return the error of a file that the system does not let us read."""
    got = f"an error from reading it: {error.strerror or error}"
    return bad_file(file, "not_readable", got=got, expected=expected, fix="make it readable, and validate again")


def _as_utf_8(file: str, content: bytes, encoding: str) -> bytes:
    line = None
    try:
        return content.decode(encoding).encode()
    except UnicodeDecodeError as error:
        line, got = _line_of(error.object, error.start), f"the byte {error.object[error.start]:#x}"
    except (LookupError, UnicodeError) as error:
        got = f"an error from decoding it: {error}"
    fix = "correct the encoding (`encoding` in dataset.yaml, or --encoding), or save it as UTF-8"
    raise bad_file(file, "not_decodable", line=line, got=got, expected=f"text in {encoding}", fix=fix)


def check_bytes(file: str, content: bytes, *, expected: str) -> None:
    """Raise BadFileError if the content is blank or no text in UTF-8."""
    for start, (rule, got, fix) in SIGNATURES.items():
        if content.startswith(start):
            raise bad_file(file, rule, got=got, expected="UTF-8 text" if rule == "utf_16" else expected, fix=fix)
    if not content.strip():
        raise bad_file(file, "empty_file", got="an empty file", expected=expected, fix="export it again")
    if b"\0" in content:
        line, fix = _line_of(content, content.index(0)), "remove it; or, if the file is UTF-16, save it as UTF-8"
        raise bad_file(file, "nul_byte", line=line, got="a NUL byte", expected="text", fix=fix)
    try:
        content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = _line_of(error.object, error.start)
        got, fix = f"the byte {error.object[error.start]:#x}", f"{SAVE} `encoding` in dataset.yaml"
        raise bad_file(file, "not_utf_8", line=line, got=got, expected="UTF-8 text", fix=fix) from None


def first_line(path: Path) -> str:
    """Return a file's first line that is not blank; empty if there is none, or the file can't be read."""
    with suppress(OSError), path.open(encoding="utf-8", errors="replace") as file:
        return next((line for line in file if line.strip()), "")
    return ""


def text_lines(content: bytes) -> TextIO:
    """Return UTF-8 content as a stream of lines, each of which ends in \\n: \\r\\n and \\r count as one."""
    return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline=None)


def _line_of(content: bytes, offset: int) -> int:
    """Return the line, from 1, of the byte at an offset; \\n, \\r\\n and \\r end a line."""
    before = content[:offset].replace(b"\r\n", b"\n")
    return before.count(b"\n") + before.count(b"\r") + 1
