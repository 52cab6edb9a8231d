"""KITTI: a folder of .txt files, one per image, one line per object: its class, then 14 or 15 numbers."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from localizer.datasets.readers.row import BackgroundImage, Item, LeftOut, Row
from localizer.datasets.readers.text import check_bytes, file_bytes, first_line, text_lines
from localizer.findings import BadFileError, Finding, critical, raise_if_any

if TYPE_CHECKING:
    from localizer.dataset import DatasetConfig

TITLE = "KITTI labels"
PATTERN = "**/*.txt"
SNIFFED = 20  # files of a folder
EXPECTED = "KITTI's lines: a class, and 14 or 15 numbers"
NUMBER = r"\s+([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)"
LINE = re.compile(rf"(?P<label>\S.*?){NUMBER * 14}(?:{NUMBER})?\s*\Z")


def sniff(path: Path) -> bool:
    if not path.is_dir():
        return False
    return any(LINE.match(first_line(file)) for file in _files(path)[:SNIFFED])


def read(source: Path, config: "DatasetConfig", images: Path | None) -> Iterator[Item]:
    """Yield the objects of the files below a folder, but DontCare; BadFileError lists all other lines."""
    left, faults = LeftOut(), list[Finding]()
    for path in _files(source):
        image, empty = path.relative_to(source).with_suffix("").as_posix(), True
        try:
            content = file_bytes(path, expected=EXPECTED)
            if content.strip():
                check_bytes(path.as_posix(), content, expected=EXPECTED)
        except BadFileError as error:
            faults += error.findings
            continue
        for number, text in enumerate(text_lines(content), start=1):
            if not text.strip():
                continue
            empty, found = False, LINE.match(text)
            if found is None:
                faults.append(_fault(path, number, text))
            elif found["label"] == "DontCare":
                left.add("regions called DontCare")
            else:
                yield Row(path.as_posix(), number, "", image, found["label"], "", *found.groups()[4:8])
        if empty:
            yield BackgroundImage(image)
    raise_if_any(faults)
    yield from left.items()


def _fault(path: Path, line: int, text: str) -> Finding:
    got, fix = repr(text.strip()[:60]), "correct or remove the line"
    return critical(path.as_posix(), "line_invalid", line=line, got=got, expected=EXPECTED, fix=fix)


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob(PATTERN) if file.is_file() and not file.name.startswith("README"))
