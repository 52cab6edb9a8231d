"""Text: a file's bytes, checked before anything is read from them and counted into lines; names in UTF-8."""

from pathlib import Path

from localizer.findings import Finding, critical, raise_if_any


def checked_bytes(path: Path, *, expected: str) -> bytes:
    """Return a file's content, which is text in UTF-8; BadFileError says what else it is."""
    file = path.as_posix()
    if not path.is_file():
        raise_if_any(
            [critical(file, "not_a_file", got="no regular file", expected=expected, fix="name the file itself")]
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        got = error.strerror or str(error)
        raise_if_any(
            [critical(file, "not_readable", got=got, expected=expected, fix="make it readable, and validate again")]
        )
    if problem := byte_fault(file, content, expected=expected):
        raise_if_any([problem])
    return content


def byte_fault(file: str, content: bytes, *, expected: str) -> Finding | None:
    """Return why the content is not text in UTF-8, or nothing."""
    text = {"expected": "UTF-8 text", "fix": "save it as UTF-8"}
    if content.startswith(b"\x1f\x8b"):
        return critical(file, "gzip", got="a file compressed with gzip", expected=expected, fix="unpack it")
    if content.startswith(b"PK\x03\x04"):
        return critical(file, "zip", got="a ZIP file, or an Excel workbook", expected=expected, fix="save it as CSV")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return critical(file, "utf_16", line=None, got="UTF-16", **text)
    if not content.strip():
        return critical(file, "empty_file", got="an empty file", expected=expected, fix="export it again")
    if b"\0" in content:
        line = line_of(content, content.index(0))
        return critical(
            file,
            "nul_byte",
            line=line,
            got="a NUL byte",
            expected="text",
            fix="remove it; or is it UTF-16?",
        )
    try:
        content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place, behind_bom = error.start, error.object
        line = line_of(behind_bom, place)
        return critical(file, "not_utf_8", line=line, got=f"the byte {behind_bom[place]:#x}", **text)
    return None


def line_of(content: bytes, place: int) -> int:
    """Return the line, from 1, that a byte stands on; \\n, \\r\\n and \\r end a line."""
    before = content[:place].replace(b"\r\n", b"\n")
    return before.count(b"\n") + before.count(b"\r") + 1
