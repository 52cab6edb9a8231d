"""Converting annotations: which boxes another format can hold, and what it can't."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import pandas as pd

from localizer.dataset import Dataset
from localizer.datasets.annotations import read_boxes, read_columns
from localizer.datasets.coordinates import parse_coordinates, with_edges
from localizer.datasets.image_sizes import first_sizes, header_sizes
from localizer.datasets.readers import coco, voc, yolo
from localizer.datasets.readers.row import Row
from localizer.datasets.writers import Empty, Target, file_of
from localizer.findings import Finding, critical
from localizer.tables import EDGES, Table

# What XML can't hold, and a CSV not without doubt.
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")

SIZE = "size_unknown"
# What is told of a box that isn't written: what was got, what was expected, what to do.
TOLD = {
    "not_a_number": ("values that are no numbers", "four numbers", "correct the row"),
    SIZE: ("no image of this name, nor its size", "the image's size in pixels", "is --images the right folder?"),
    "corners_order": ("an end before its beginning", "xmin <= xmax and ymin <= ymax", "correct the row"),
    "control_character": ("a control character in the image's name or the label", "plain text", "rename it"),
    "image_invalid": ("no path below a folder", "an image's path relative to --images", "correct the row"),
    "stem_twice": ("another image of this name but for the suffix", "a file of boxes an image", "rename one image"),
}


@dataclass(frozen=True)
class Conversion:
    """What can be written: boxes with EDGES, width and height as numbers, images without a box; and what can't be."""

    boxes: Table
    empty: tuple[Empty, ...]
    unwritten: tuple[Finding, ...]
    lost: tuple[str, ...]


class _Read(NamedTuple):
    """What annotations say: a row a box as `read_boxes` returns them, images without a box, and what isn't read."""

    boxes: Table
    unboxed: Table
    unread: tuple[str, ...] = ()


def convert(subject: Dataset, to: Target) -> Conversion:
    """Return what a format can hold of the annotations; BadFileError lists why they can't be read at all.

    An image's size is that of its file, upright, else the first that is annotated.
    """
    read = _READERS[subject.config.format](subject)
    told = pd.concat([rows[["image", "width", "height"]] for rows in (read.boxes, read.unboxed)])
    sizes = _sizes(told, subject.images)
    of_row = sizes.set_index("image").loc[read.boxes["image"]].to_numpy()
    boxes = with_edges(read.boxes, sizes, subject.config).assign(width=of_row[:, 0], height=of_row[:, 1])
    empty = _empty(sizes[~sizes["image"].isin(boxes["image"])])
    of_image = _bad_images([*boxes["image"], *(one.image for one in empty)], to)
    of_image |= {one.image: SIZE for one in empty if one.size is None and to in ("voc", "coco")}
    bad = _unwritable(boxes, to, of_image=of_image)
    file = subject.annotations.as_posix()
    unwritten = [*_findings(boxes, bad), *(_finding(file, None, one.image, of_image[one.image]) for one in empty)]
    return Conversion(
        boxes[np.array([not rule for rule in bad], dtype=bool)],
        tuple(one for one in empty if not of_image[one.image]),
        tuple(finding for finding in unwritten if finding),
        (*read.unread, *_lost(read.boxes, to), *(_lost_empty(empty) if to == "csv" else [])),
    )


def _sizes(rows: Table, images: Path | None) -> Table:
    """Return image, width and height, a row an image: whole numbers of pixels, NaN where unknown."""
    sizes = first_sizes(rows)
    if images is None:
        return sizes
    sides = header_sizes(sizes["image"].tolist(), images)
    known = np.where(np.isnan(sides), sizes[["width", "height"]], sides)
    return sizes.assign(width=known[:, 0], height=known[:, 1])


def _empty(sizes: Table) -> list[Empty]:
    """Return images without a box, sorted by name."""
    rows = sorted(zip(sizes["image"], sizes["width"], sizes["height"], strict=True))
    return [Empty(name, None if np.isnan(width) else (int(width), int(height))) for name, width, height in rows]


def _bad_images(images: Iterable[str], to: Target) -> dict[str, str]:
    """Return for each image the key of TOLD that says why its name can't stand in the format, or nothing."""
    found = dict.fromkeys(images, "")
    stems: dict[str, str] = {}
    for image in found:
        path = PurePosixPath(image)
        if CONTROLS.search(image):
            found[image] = "control_character"
        elif not path.name or path.is_absolute() or ".." in path.parts:
            found[image] = "image_invalid"
        elif to in ("voc", "yolo") and stems.setdefault(file_of(image, ""), image) != image:
            found[image] = "stem_twice"
    return found


def _unwritable(boxes: Table, to: Target, *, of_image: dict[str, str]) -> list[str]:
    """Return for each box the key of TOLD that says why the format can't hold it, or nothing."""
    sizes, edges = boxes[["width", "height"]].to_numpy(), boxes[EDGES].to_numpy()
    controls = {text for text in {*boxes["label"], *boxes["group"]} if CONTROLS.search(text)}
    reasons = {
        "not_a_number": np.isnan(parse_coordinates(boxes)).any(axis=1),
        SIZE: np.isnan(edges).any(axis=1) | (np.isnan(sizes).any(axis=1) & (to != "csv")),
        "corners_order": (edges[:, 2:] < edges[:, :2]).any(axis=1) & (to != "csv"),
        "control_character": boxes[["label", "group"]].isin(controls).any(axis=1).to_numpy(),
    }
    found = boxes["image"].map(of_image).to_numpy(dtype=object)
    for rule, rows in reasons.items():
        found[(found == "") & rows] = rule
    return list(found)


def _findings(boxes: Table, bad: Sequence[str]) -> Iterator[Finding | None]:
    for file, line, image, rule in zip(boxes["file"], boxes["line"], boxes["image"], bad, strict=True):
        yield _finding(file, line, image, rule)


def _finding(file: str, line: int | None, image: str, rule: str) -> Finding | None:
    if not rule:
        return None
    got, expected, fix = TOLD[rule]
    return critical(file, rule, line=line, got=f"{got} ({image!r})", expected=expected, fix=fix)


def _read_csv(subject: Dataset) -> _Read:
    columns = read_columns(subject.config, subject.annotations)
    unused = columns.loc[columns["used_as"] == "", "column"].tolist()
    unread = (f"the columns {', '.join(unused)}",) if unused else ()
    return _Read(read_boxes(subject.config, subject.annotations, images=subject.images), _table([]), unread)


def _read_coco(subject: Dataset) -> _Read:
    found = coco.read_coco_file(subject.annotations)
    unread = (f"COCO's {', '.join(sorted(found.others))}",) if found.others else ()
    return _Read(_table(coco.rows_of(found)), _table(coco.rows_without_box(found)), unread)


def _read_voc(subject: Dataset) -> _Read:
    files = list(voc.read_voc_files(subject.annotations))
    others = sorted({other for _, found in files for other in found.others})
    rows, unboxed = (
        [row for path, found in files for row in of(path, found)] for of in (voc.rows_of, voc.rows_without_box)
    )
    unread = (f"Pascal VOC's {', '.join(others)}",) if others else ()
    return _Read(_table(rows), _table(unboxed), unread)


def _read_yolo(subject: Dataset) -> _Read:
    folder, images = subject.annotations, subject.images
    boxes = read_boxes(subject.config, folder, images=images)
    names = yolo.images_without_box(folder, images or folder)
    return _Read(boxes, _table(Row(folder.as_posix(), 1, image=name) for name in names))


_READERS: dict[str, Callable[[Dataset], _Read]] = {
    "csv": _read_csv,
    "coco": _read_coco,
    "voc": _read_voc,
    "yolo": _read_yolo,
}


def _table(rows: Iterable[Row]) -> Table:
    """Return rows as `read_boxes` does, all text but `line`."""
    table = pd.DataFrame(list(rows), columns=Row._fields)
    return table.astype({name: "str" for name in Row._fields if name != "line"})


def _lost(boxes: Table, to: Target) -> Iterator[str]:
    """Yield what was read of the boxes, and has no place in the format that is written."""
    if to != "csv" and (count := int((boxes["group"] != "").sum())):
        yield f"the groups of {count} boxes"
    if to == "yolo" and (boxes["width"] != "").any():
        yield "the images' sizes as annotated"
    spaced = sorted({label for label in set(boxes["label"]) | set(boxes["image"]) if label != label.strip()})
    if to == "voc" and spaced:
        yield f"the spaces around {', '.join(map(repr, spaced[:5]))}"


def _lost_empty(empty: Sequence[Empty]) -> Iterator[str]:
    if empty:
        shown = ", ".join(one.image for one in empty[:5])
        yield f"{len(empty)} images without a box: {shown}{', ...' if len(empty) > 5 else ''}"
