"""YOLO: a folder of .txt files, one per image, one line per box: class, center x, center y, width, height in [0, 1]."""

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from localizer.config import read_yaml
from localizer.dataset import DatasetConfig
from localizer.datasets.readers.row import BackgroundImage, Item, LeftOut, Row
from localizer.datasets.readers.shapes import as_center, bounds
from localizer.datasets.readers.text import check_bytes, checked_bytes, file_bytes, first_line, text_lines
from localizer.findings import BadFileError, Finding, bad_file, critical, raise_if_any
from localizer.images.decoding import SUFFIXES
from localizer.probing.file_names import as_utf8

TITLE = "YOLO labels (Darknet, Ultralytics, CVAT, Roboflow)"
PATTERN = "**/*.txt"
YAML_NAMES = "data.yaml"
LABELS = "labels"  # a folder of label files
OTHERS = re.compile(r"(?i)^(.*classes\.txt|obj\.names|readme.*|licen[cs]e.*|requirements.*)$")
MISSING = "correct or remove the line"
SNIFFED = 20  # files of a folder
LIST_NAMES = ("classes.txt", "obj.names")  # one name per line
EXPECTED = "class, center x, center y, width, height"
CLASS = re.compile(r"[0-9]{1,9}(\.[0-9]*)?([eE][+-]?[0-9]{1,2})?")


def sniff(path: Path) -> bool:
    if not path.is_dir() or not (files := label_files(path)):
        return False
    first = [words for file in files[:SNIFFED] if (words := first_line(file).split())]
    return not first or any(_is_class(words[0]) and len(words) >= 5 for words in first)


def read(source: Path, config: DatasetConfig, images: Path | None) -> Iterator[Item]:
    """Yield the boxes of the label files below a folder, sorted by path; BadFileError lists all faults.

    The image is the file below `images`, or else below `source`, of the same path but for its suffix; where there is
    none, that path without a suffix. The label is the class's name, or its number where no file gives names.
    """
    names, images_by_stem, faults = _read_names(source), _by_stem(images or source), list[Finding]()
    left = LeftOut()
    for path in label_files(source):
        try:
            image = _image_of(path, path.relative_to(source), images_by_stem)
            rows, polygons = _rows(path, image, names, take_bounds=config.shapes == "bounds")
            yield from rows
            left.add("polygon shapes", polygons)
            if not rows and not polygons:
                yield BackgroundImage(image)
        except BadFileError as error:
            faults += error.findings
    raise_if_any(faults)
    yield from left.items()


def label_files(folder: Path) -> list[Path]:
    """Return the label files below a folder, sorted: .txt files that list no classes or images, and are no README."""
    if not folder.is_dir():
        expected, fix = "a folder of YOLO's .txt files", "name the folder itself"
        got = "a file" if folder.exists() else "nothing"
        raise bad_file(folder.as_posix(), "not_a_folder", got=got, expected=expected, fix=fix)
    paths = [path for path in folder.glob(PATTERN) if path.is_file() and not OTHERS.match(path.name)]
    return sorted(path for path in paths if LABELS in path.relative_to(folder).parts or not _lists_images(path))


def _lists_images(path: Path) -> bool:
    """Return whether a file lists images, as a training set's `train.txt` does."""
    words = first_line(path).split()
    return bool(words) and PurePosixPath(words[-1]).suffix.lower() in SUFFIXES


def _is_class(text: str) -> bool:
    return text.isascii() and text.removesuffix(".0").isdecimal()


def names_file(folder: Path) -> Path | None:
    """Return the file that names the classes, in the folder of the label files or around it; None without one."""
    inner, outer, outermost = (Path(os.path.normpath(folder / up)) for up in (".", "..", "../.."))
    places = [place / name for place in (inner, outer) for name in (YAML_NAMES, *LIST_NAMES)]
    return next((place for place in [*places, outermost / YAML_NAMES] if place.is_file()), None)


def _rows(path: Path, image: str, names: dict[int, str] | None, *, take_bounds: bool) -> tuple[list[Row], int]:
    """Return the rows of one file, and the number of polygons left out; BadFileError lists its bad lines."""
    file, content = path.as_posix(), file_bytes(path, expected=EXPECTED)
    if not content.strip():
        return [], 0
    check_bytes(file, content, expected=EXPECTED)
    rows, faults, polygons = list[Row](), list[Finding](), 0
    for line, text in enumerate(text_lines(content), start=1):
        fields = text.split()
        if len(fields) > 6 and len(fields) % 2 == 1:  # a class, and the points of a segmentation
            polygons += not take_bounds
            fields = [fields[0], *as_center(bounds(fields[1::2], fields[2::2]))] if take_bounds else []
        if fault := _line_fault(file, line, fields, names=names):
            faults.append(fault)
        elif fields and (number := _class_number(fields[0])) is not None:
            label = str(number) if names is None else names[number]
            rows.append(Row(file, line, "", image, label, "", *fields[1:]))
    raise_if_any(faults)
    return rows, polygons


def _line_fault(file: str, line: int, fields: list[str], *, names: dict[int, str] | None) -> Finding | None:
    if len(fields) not in (0, 5):
        fix = "is it a prediction, with a confidence? remove that column" if len(fields) == 6 else MISSING
        expected = f"5 fields: {EXPECTED}"
        return critical(file, "field_count", line=line, got=str(len(fields)), expected=expected, fix=fix)
    number = _class_number(fields[0]) if fields else None
    if fields and number is None:
        rule, expected, fix = "class_invalid", "a class's number, from 0", "correct the first field of the line"
    elif fields and names is not None and number not in names:
        fix = f"correct it, or add the class to {YAML_NAMES} or {LIST_NAMES[0]}"
        rule, expected = "class_unknown", f"the number of one of the {len(names)} named classes"
    else:
        return None
    return critical(file, rule, line=line, column="class", got=fields[0], expected=expected, fix=fix)


def _class_number(text: str) -> int | None:
    """Return a class's number, which may be written with a fraction of zeros, as 0.0; None for anything else."""
    number = float(text) if CLASS.fullmatch(text) else None
    return int(number) if number is not None and number.is_integer() else None


def _by_stem(images: Path) -> dict[str, list[str]]:
    """Return the names of the image files below a folder, by their path without the suffix."""
    found = defaultdict(list)
    for path in sorted(images.rglob("*")) if images.is_dir() else []:
        if path.suffix.lower() in SUFFIXES and path.is_file():
            name = path.relative_to(images)
            found[name.with_suffix("").as_posix()].append(as_utf8(name.as_posix()))  # as in `probe_images`
    return found


def _image_of(label_file: Path, name: Path, images_by_stem: dict[str, list[str]]) -> str:
    """Return the image of a label file of this name; BadFileError where several images fit.

    The images of `train/labels` are in `train/images` or `train`, those of `labels/train` in `images/train` or `train`.
    """
    parts = name.with_suffix("").parts
    beside = "/".join("images" if part == LABELS else part for part in parts)
    below = "/".join(part for part in parts if part != LABELS)
    stems = ["/".join(parts), beside, below]
    images = next((images_by_stem[stem] for stem in stems if stem in images_by_stem), [below])
    if len(images) > 1:
        got, expected = ", ".join(images), "one image of the label file's name"
        raise bad_file(label_file.as_posix(), "image_ambiguous", got=got, expected=expected, fix="rename one of them")
    return images[0]


def _read_names(folder: Path) -> dict[int, str] | None:
    """Return the classes' names by number, None where no file has them; BadFileError if it can't be read."""
    path = names_file(folder)
    if path is None:
        return None
    if path.name != YAML_NAMES:
        text = checked_bytes(path, expected="one class name per line").decode("utf-8-sig")
        return dict(enumerate(line.strip() for line in text.splitlines()))
    try:
        names: Any = read_yaml(path).get("names")
    except ValueError as error:
        got, expected = str(error).removeprefix(f"{path}:").strip(), "YAML with the classes' names"
        raise bad_file(path.as_posix(), "names_invalid", got=got, expected=expected, fix="correct it") from None
    by_number = dict(enumerate(names)) if isinstance(names, list) else names
    if not by_number or not isinstance(by_number, dict) or not all(map(_is_name, by_number.items())):
        got, expected = str(names)[:60], "a list of the classes' names, or names by number"
        fix = "correct `names`"
        raise bad_file(path.as_posix(), "names_invalid", column="names", got=got, expected=expected, fix=fix)
    return {int(key): as_utf8(str(name)) for key, name in by_number.items()}


def _is_name(pair: tuple[Any, Any]) -> bool:
    return str(pair[0]).isdecimal() and isinstance(pair[1], str | int | float)
