"""Describe what differs between two versions of a file or of a mapping."""

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

from localizer.config import flatten
from localizer.findings import printable

ABSENT = "(nothing)"


def describe_difference(path: str, versions: Mapping[str, Path]) -> str:
    """Return the path, and for a table the first row that differs, in both versions.

    versions: the differing files by the names of their checkouts, such as workspace and rerun.
    """
    if not path.endswith(".csv"):
        return f"{path}: differs"
    pairs = enumerate(zip_longest(*(file.read_bytes().split(b"\n") for file in versions.values())), start=1)
    number, rows = next((number, pair) for number, pair in pairs if pair[0] != pair[1])
    texts = (ABSENT if row is None else printable(row.decode(errors="backslashreplace")) for row in rows)
    lines = (f"    {name}: {text}" for name, text in zip(versions, texts, strict=True))
    return "\n".join([f"{path}:{number}:", *lines])


def changed_values(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Yield `key: old -> new` for each dotted key whose value differs; 1 and 1.0 do."""
    versions = [flatten(dict(values)) for values in (old, new)]
    for key in sorted(versions[0] | versions[1]):
        before, after = (values.get(key, ABSENT) for values in versions)
        if before != after or type(before) is not type(after):
            yield f"{key}: {before} -> {after}"
