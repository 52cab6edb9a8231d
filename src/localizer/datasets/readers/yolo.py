"""YOLO: a folder of .txt files, one an image, a line a box: class, centre x, centre y, width, height, in shares."""

import io
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from localizer.config import read_yaml
from localizer.datasets.readers.row import Row
from localizer.datasets.readers.text import byte_fault, checked_bytes
from localizer.findings import BadFileError, Finding, critical, raise_if_any
from localizer.images.decoding import SUFFIXES
from localizer.probing.file_names import as_utf8

YAML_NAMES = "data.yaml"
LIST_NAMES = ("classes.txt", "obj.names")  # a name a line
EXPECTED = "class, centre x, centre y, width, height"


def read_yolo(folder: Path, images: Path) -> Iterator[Row]:
    """Yield the rows of the label files below a folder, sorted by path; BadFileError lists all that is wrong.

    The image is the file below `images` of the same path but for its suffix, or that path without a suffix
    where there is none. The label is the class's name, or its number where no file gives names.
    """
    names, pictures, faults = _read_names(folder), _by_stem(images), list[Finding]()
    for path in label_files(folder):
        try:
            image = _image_of(path.relative_to(label_folder(folder)), pictures, file=path.as_posix())
            yield from _rows(path, image, names)
        except BadFileError as error:
            faults += error.findings
    raise_if_any(faults)


def images_without_box(folder: Path, images: Path) -> list[str]:
    """Return the images whose label file is empty."""
    empty = [path.relative_to(label_folder(folder)) for path in label_files(folder) if not path.read_bytes().strip()]
    pictures = _by_stem(images)
    return [_image_of(path, pictures, file=path.as_posix()) for path in empty]


def label_files(folder: Path) -> list[Path]:
    """Return the label files below a folder, sorted: .txt files that do not list the classes."""
    if not folder.is_dir():
        told = {"got": "no folder", "expected": "a folder of YOLO's .txt files", "fix": "name the folder itself"}
        raise BadFileError([critical(folder.as_posix(), "not_a_folder", line=None, **told)])
    paths = label_folder(folder).rglob("*.txt")
    return sorted(path for path in paths if path.is_file() and path.name not in LIST_NAMES)


def label_folder(folder: Path) -> Path:
    """Return the folder of the label files: `labels` in the folder of a whole YOLO set, else the folder itself."""
    return folder / "labels" if (folder / "labels").is_dir() else folder


def names_file(folder: Path) -> Path | None:
    """Return the file that names the classes of a folder of label files: in it or around it; None if there is none."""
    base = folder if len(folder.parts) > 2 else folder.absolute()  # "labels" alone has no parent to look in
    places = [place / name for place in (base, base.parent) for name in (YAML_NAMES, *LIST_NAMES)]
    return next((place for place in [*places, base.parent.parent / YAML_NAMES] if place.is_file()), None)


def _rows(path: Path, image: str, names: dict[int, str] | None) -> Iterator[Row]:
    """Yield the rows of one file; BadFileError lists its bad lines."""
    file, content = path.as_posix(), path.read_bytes()
    if not content.strip():
        return  # an image without an object
    if problem := byte_fault(file, content, expected=EXPECTED):
        raise BadFileError([problem])
    faults = []
    for line, text in enumerate(io.StringIO(content.decode("utf-8-sig"), newline=None), start=1):
        fields = text.split()
        if problem := _line_fault(file, line, fields, names=names):
            faults.append(problem)
        elif fields:
            label = fields[0] if names is None else names[int(fields[0])]
            yield Row(file, line, "", image, label, "", *fields[1:])
    raise_if_any(faults)


def _line_fault(file: str, line: int, fields: list[str], *, names: dict[int, str] | None) -> Finding | None:
    if len(fields) not in (0, 5):
        more = "a polygon of a segmentation? boxes are expected"
        hints = {6: "is it a prediction, with a confidence? remove that column"}
        fix = hints.get(len(fields), more if len(fields) > 6 else "give the missing ones, or remove the line")
        return critical(file, "field_count", line=line, got=f"{len(fields)} fields", expected=f"5: {EXPECTED}", fix=fix)
    if fields and not (fields[0].isascii() and fields[0].isdecimal()):
        told = {"got": fields[0], "expected": "a class's number, from 0", "fix": "correct the first field"}
        return critical(file, "class_invalid", line=line, column="class", **told)
    if fields and names is not None and int(fields[0]) not in names:
        told = {"got": fields[0], "expected": f"one of the {len(names)} named classes", "fix": "correct it, or name it"}
        return critical(file, "class_unknown", line=line, column="class", **told)
    return None


def _by_stem(images: Path) -> dict[str, list[str]]:
    """Return the names of the image files below a folder, by their path without the suffix."""
    found = defaultdict(list)
    for path in sorted(images.rglob("*")) if images.is_dir() else []:
        if path.suffix.lower() in SUFFIXES and path.is_file():
            name = path.relative_to(images)
            found[name.with_suffix("").as_posix()].append(as_utf8(name.as_posix()))  # as in `probe_images`
    return found


def _image_of(label_file: Path, pictures: dict[str, list[str]], *, file: str) -> str:
    """Return the image of a label file; BadFileError where it may be one of several."""
    stem = label_file.with_suffix("").as_posix()
    names = pictures.get(stem, [stem])
    if len(names) > 1:
        told = {"got": f"the images {', '.join(names)}", "expected": "one image of this name", "fix": "rename one"}
        raise BadFileError([critical(file, "image_ambiguous", line=None, **told)])
    return names[0]


def _read_names(folder: Path) -> dict[int, str] | None:
    """Return the classes' names by their numbers, None where no file has them; BadFileError if it can't be read."""
    path = names_file(folder)
    if path is None:
        return None
    if path.name != YAML_NAMES:
        text = checked_bytes(path, expected="a class's name a line").decode("utf-8-sig")
        return dict(enumerate(line.strip() for line in text.splitlines()))
    try:
        names = read_yaml(path).get("names")
    except ValueError as error:
        told = {"got": str(error), "expected": "YAML with the classes' names", "fix": "correct it"}
        raise BadFileError([critical(path.as_posix(), "names_invalid", line=None, **told)]) from None
    pairs = list(_pairs(names))
    if not pairs or not all(str(key).isdecimal() and isinstance(name, str | int | float) for key, name in pairs):
        told = {"got": str(names)[:60], "expected": "a list of names, or names by number", "fix": "correct it"}
        raise BadFileError([critical(path.as_posix(), "names_invalid", line=None, column="names", **told)])
    return {int(key): as_utf8(str(name)) for key, name in pairs}


def _pairs(names: Any) -> list[tuple[Any, Any]]:
    if isinstance(names, dict):
        return list(names.items())
    return list(enumerate(names)) if isinstance(names, list) else []
