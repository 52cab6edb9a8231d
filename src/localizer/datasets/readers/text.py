"""Text files: their bytes, checked before anything is parsed, and their lines."""

import io
from pathlib import Path
from typing import TextIO

from localizer.findings import bad_file

# How files begin that are no text in UTF-8: rule, what they are, fix.
UTF_16 = ("utf_16", "UTF-16", "set `encoding: utf-16` in dataset.yaml, or save it as UTF-8")
SIGNATURES = {
    b"\x1f\x8b": ("gzip", "a file compressed with gzip", "unpack it"),
    b"PK\x03\x04": ("zip", "a ZIP file, or an Excel workbook", "save it as CSV"),
    b"\xff\xfe": UTF_16,
    b"\xfe\xff": UTF_16,
}


BOMS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8"}


def checked_bytes(path: Path, *, expected: str, encoding: str = "utf-8") -> bytes:
    """Return a file's content as UTF-8, which is text that is not blank; else BadFileError."""
    file = path.as_posix()
    if not path.is_file():
        raise bad_file(file, "not_a_file", got="no regular file", expected=expected, fix="name the file itself")
    try:
        content = path.read_bytes()
    except OSError as error:
        got, fix = error.strerror or str(error), "make it readable, and validate again"
        raise bad_file(file, "not_readable", got=got, expected=expected, fix=fix) from None
    if encoding != "utf-8":
        content = _as_utf_8(file, content, encoding)
    check_bytes(file, content, expected=expected)
    return content


def _as_utf_8(file: str, content: bytes, encoding: str) -> bytes:
    try:
        return content.decode(encoding).encode()
    except (UnicodeError, LookupError) as error:
        fix = "correct `encoding` in dataset.yaml, or save it as UTF-8"
        raise bad_file(file, "not_decodable", got=str(error), expected=f"text in {encoding}", fix=fix) from None


def check_bytes(file: str, content: bytes, *, expected: str) -> None:
    """Raise BadFileError if the content is blank or no text in UTF-8."""
    for start, (rule, got, fix) in SIGNATURES.items():
        if content.startswith(start):
            raise bad_file(file, rule, got=got, expected="UTF-8 text" if rule == "utf_16" else expected, fix=fix)
    if not content.strip():
        raise bad_file(file, "empty_file", got="an empty file", expected=expected, fix="export it again")
    if b"\0" in content:
        line, fix = _line_of(content, content.index(0)), "remove it; or is it UTF-16?"
        raise bad_file(file, "nul_byte", line=line, got="a NUL byte", expected="text", fix=fix)
    try:
        content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = _line_of(error.object, error.start)
        got = f"the byte {error.object[error.start]:#x}"
        raise bad_file(file, "not_utf_8", line=line, got=got, expected="UTF-8 text", fix="save it as UTF-8") from None


def text_lines(content: bytes) -> TextIO:
    """Return UTF-8 content as a stream of lines, each of which ends in \\n: \\r\\n and \\r count as one."""
    return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline=None)


def _line_of(content: bytes, offset: int) -> int:
    """Return the line, from 1, of the byte at an offset; \\n, \\r\\n and \\r end a line."""
    before = content[:offset].replace(b"\r\n", b"\n")
    return before.count(b"\n") + before.count(b"\r") + 1
