"""Converting annotations: which boxes another format can hold, and what it can't."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from localizer.data.annotations import read_boxes, read_columns
from localizer.data.canonical import given_numbers, with_edges
from localizer.data.card import Card
from localizer.data.finding import Finding, fault
from localizer.data.formats import coco, yolo
from localizer.data.formats.voc import read_voc_file
from localizer.data.formats.writing import Empty, Target, file_of
from localizer.data.sizes import annotated_sizes, header_sizes
from localizer.data.tables import EDGES, Table

# What XML can't hold, and a CSV not without doubt.
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
# Of Pascal VOC, what says something and isn't read.
VOC_OTHERS = re.compile(rb"<(difficult|truncated|occluded)>\s*1\s*<|<(part|mask|polygon)>")

SIZE = "size_unknown"
# What is told of a box that isn't written: what was got, what was wanted, what to do.
TOLD = {
    "not_a_number": ("values that are no numbers", "four numbers", "correct the row"),
    SIZE: ("no image of this name, nor its size", "the image's size in pixels", "is --images the right folder?"),
    "corners_order": ("an end before its beginning", "xmin <= xmax and ymin <= ymax", "correct the row"),
    "control_character": ("a control character in the image's name or the label", "plain text", "rename it"),
    "image_invalid": ("no path below a folder", "an image's path relative to --images", "correct the row"),
    "stem_twice": ("another image of this name but for the suffix", "a file of boxes an image", "rename one image"),
}


@dataclass(frozen=True)
class Source:
    """Annotations, the card by which they are read, and the folder of their images."""

    card: Card
    annotations: Path
    images: Path


@dataclass(frozen=True)
class Conversion:
    """What can be written: boxes with EDGES, width and height as numbers, images without a box; and what can't be."""

    boxes: Table
    empty: tuple[Empty, ...]
    unwritten: tuple[Finding, ...]
    lost: tuple[str, ...]


def convert(source: Source, to: Target) -> Conversion:
    """Return what a format can hold of the annotations; BadFileError lists why they can't be read at all.

    An image's size is that of its file, upright, else as annotated.
    """
    read = read_boxes(source.card, source.annotations, images=source.images)
    sizes = header_sizes(read["image"].tolist(), source.images)
    sizes = np.where(np.isnan(sizes), annotated_sizes(read), sizes)
    sizes = np.where(sizes == np.round(sizes), sizes, np.nan)
    sized = read.assign(width=sizes[:, 0], height=sizes[:, 1])
    boxes = with_edges(read, sized.drop_duplicates("image"), source.card).assign(width=sizes[:, 0], height=sizes[:, 1])
    empty = _images_without_box(source, boxes["image"])
    of_image = _bad_images([*boxes["image"], *(one.image for one in empty)], to)
    of_image |= {one.image: SIZE for one in empty if one.size is None and to in ("voc", "coco")}
    bad = _unwritable(boxes, to, of_image=of_image)
    file = source.annotations.as_posix()
    unwritten = [*_findings(boxes, bad), *(_finding(file, None, one.image, of_image[one.image]) for one in empty)]
    return Conversion(
        boxes[np.array([not rule for rule in bad])],
        tuple(one for one in empty if not of_image[one.image]),
        tuple(finding for finding in unwritten if finding),
        (*_lost_of_source(source, read, to), *(_lost_empty(empty) if to == "csv" else [])),
    )


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
    controls = {text: bool(CONTROLS.search(text)) for text in {*boxes["label"], *boxes["group"]}}
    reasons = {
        "not_a_number": np.isnan(given_numbers(boxes)).any(axis=1),
        SIZE: np.isnan(edges).any(axis=1) | (np.isnan(sizes).any(axis=1) & (to != "csv")),
        "corners_order": (edges[:, 2:] < edges[:, :2]).any(axis=1) & (to != "csv"),
        "control_character": boxes["label"].map(controls).to_numpy() | boxes["group"].map(controls).to_numpy(),
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
    got, wanted, fix = TOLD[rule]
    return fault(file, rule, line=line, got=f"{got} ({image!r})", wanted=wanted, fix=fix)


def _images_without_box(source: Source, annotated: Iterable[str]) -> list[Empty]:
    """Return the images of which the annotations say that they have no box, with their sizes."""
    if source.card.format == "voc":
        files = [read_voc_file(path) for path in source.annotations.rglob("*.xml")]
        said = [file.image for file in files if not file.boxes]
    elif source.card.format == "coco":
        said = coco.images_without_box(source.annotations)
    elif source.card.format == "yolo":
        said = yolo.images_without_box(source.annotations, source.images)
    else:
        said = []
    names = sorted(set(said) - set(annotated))
    sizes = header_sizes(names, source.images).tolist()
    known = [None if np.isnan(width) else (int(width), int(height)) for width, height in sizes]
    return [Empty(name, size) for name, size in zip(names, known, strict=True)]


def _lost_of_source(source: Source, read: Table, to: Target) -> Iterator[str]:
    """Yield what there is in the source, and will not be in the format that is written."""
    columns = read_columns(source.card, source.annotations)
    if unused := columns.loc[columns["used_as"] == "", "column"].tolist():
        yield f"the columns {', '.join(unused)}"
    if source.card.format == "coco" and (others := coco.read_coco_file(source.annotations).others):
        yield f"COCO's {', '.join(sorted(others))}"
    if source.card.format == "voc":
        texts = [path.read_bytes() for path in source.annotations.rglob("*.xml")]
        others = {(match[1] or match[2]).decode() for text in texts for match in VOC_OTHERS.finditer(text)}
        if others:
            yield f"Pascal VOC's {', '.join(sorted(others))}"
    if to != "csv" and (count := int((read["group"] != "").sum())):
        yield f"the groups of {count} boxes"
    if to == "yolo" and (read["width"] != "").any():
        yield "the images' sizes as annotated"
    spaced = sorted({label for label in set(read["label"]) | set(read["image"]) if label != label.strip()})
    if to == "voc" and spaced:
        yield f"the spaces around {', '.join(map(repr, spaced[:5]))}"


def _lost_empty(empty: Sequence[Empty]) -> Iterator[str]:
    if empty:
        shown = ", ".join(one.image for one in empty[:5])
        yield f"{len(empty)} images without a box: {shown}{', ...' if len(empty) > 5 else ''}"
