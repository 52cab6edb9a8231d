"""Text files: their bytes, checked before anything is parsed, and their lines."""

import io
from pathlib import Path
from typing import TextIO

from localizer.findings import bad_file


def checked_bytes(path: Path, *, expected: str) -> bytes:
    """Return a file's content, which is UTF-8 text that is not blank; else BadFileError."""
    file = path.as_posix()
    if not path.is_file():
        raise bad_file(file, "not_a_file", got="no regular file", expected=expected, fix="name the file itself")
    try:
        content = path.read_bytes()
    except OSError as error:
        got = error.strerror or str(error)
        fix = "make it readable, and validate again"
        raise bad_file(file, "not_readable", got=got, expected=expected, fix=fix) from None
    check_bytes(file, content, expected=expected)
    return content


def check_bytes(file: str, content: bytes, *, expected: str) -> None:
    """Raise BadFileError if the content is blank or no text in UTF-8."""
    if content.startswith(b"\x1f\x8b"):
        raise bad_file(file, "gzip", got="a file compressed with gzip", expected=expected, fix="unpack it")
    if content.startswith(b"PK\x03\x04"):
        raise bad_file(file, "zip", got="a ZIP file, or an Excel workbook", expected=expected, fix="save it as CSV")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise bad_file(file, "utf_16", got="UTF-16", expected="UTF-8 text", fix="save it as UTF-8")
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
