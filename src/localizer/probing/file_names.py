"""Names of files below a folder, and which of them a misspelled name may stand for."""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

LAST_PART = "*/"  # the prefix of keys that are a path's last part


def names_below(folder: Path, prefix: str = "") -> Iterator[str]:
    """Yield the names of all but folders below the folder, relative to it, sorted by their parts.

    Links to folders are not followed, and unreadable folders are left out.
    """
    with suppress(OSError), os.scandir(folder / prefix) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if not _is_folder(entry):
                yield prefix + entry.name
            elif not entry.is_symlink():
                yield from names_below(folder, f"{prefix}{entry.name}/")


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links
        return False


def names_alike(files: Sequence[str]) -> dict[str, str]:
    """Return the files by their folded names, and by their last parts where these are unique."""
    counts = Counter(last_part(name) for name in files)
    unique = {last_part(name): name for name in files if counts[last_part(name)] == 1}
    return unique | {folded(name): name for name in reversed(files)}


def last_part(name: str) -> str:
    """Return the key of a path's last part in `names_alike`."""
    return LAST_PART + folded(re.split(r"[\\/]", name)[-1])


def difference(name: str, other: str) -> str:
    """Return in words how two names differ that are equal when folded."""
    if unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", other):
        return "Unicode normalization"
    return "case" if name.casefold() == other.casefold() else "case and Unicode normalization"


def folded(name: str) -> str:
    """Return a name without differences of case and Unicode normalization."""
    return unicodedata.normalize("NFC", name).casefold()


def as_utf8(name: str) -> str:
    """Return a name with lone surrogates, which file systems, JSON and YAML allow and UTF-8 does not, as escapes."""
    return name.encode("utf-8", "backslashreplace").decode()
