"""Names of files below a folder, and which of them a wrong name may stand for."""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

LAST_PART = "*/"  # before a path's last part, where that alone is a key


def names_below(folder: Path, above: str = "") -> Iterator[str]:
    """Yield the names of what is no folder below the folder, relative to it, sorted by their parts.

    Links to folders are left out, and what is in folders that can't be read.
    """
    with suppress(OSError), os.scandir(folder / above) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if not _is_folder(entry):
                yield above + entry.name
            elif not entry.is_symlink():
                yield from names_below(folder, f"{above}{entry.name}/")


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links
        return False


def names_alike(files: Sequence[str]) -> dict[str, str]:
    """Return the files by their folded names, and those with a last part of their own by that."""
    parts = Counter(last_part(name) for name in files)
    alone = {last_part(name): name for name in files if parts[last_part(name)] == 1}
    return alone | {folded(name): name for name in reversed(files)}


def last_part(name: str) -> str:
    """Return the key of a path's last part, by which `probe_images` knows the only file of that name."""
    return LAST_PART + folded(re.split(r"[\\/]", name)[-1])


def difference(name: str, other: str) -> str:
    if unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", other):
        return "Unicode normalisation"
    return "case" if name.casefold() == other.casefold() else "case and Unicode normalisation"


def folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def as_utf8(name: str) -> str:
    """Return a name that UTF-8 can hold: half characters, which file systems, JSON and YAML allow, are spelt out."""
    return name.encode("utf-8", "backslashreplace").decode()
