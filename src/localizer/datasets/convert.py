"""Converting annotations: which boxes and other content a format can represent."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from localizer.boxes import Array
from localizer.dataset import Dataset
from localizer.datasets.annotations import read_annotations
from localizer.datasets.coordinates import edges_px, parse_coordinates
from localizer.datasets.image_names import image_files
from localizer.datasets.image_sizes import SIZE, first_sizes, header_sizes
from localizer.datasets.writers import Target, label_path
from localizer.findings import Finding, bad_file, critical
from localizer.tables import EDGES, Table

# Not allowed in XML, and unsafe in a CSV.
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")

ENOUGH = 10  # boxes to judge a file by

# Rules that a box or image must meet to be written: got, expected and fix of the finding.
REASONS = {
    "not_a_number": ("values that are no numbers", "four numbers", "correct the row"),
    "size_unknown": ("no image of this name, nor its size", "the image's size in pixels", "is --images correct?"),
    "image_missing": ("no image file of this name", "an image below --images", "is --images correct?"),
    "corners_order": ("an end before its beginning", "xmin <= xmax and ymin <= ymax", "correct the row"),
    "control_character": ("a control character in the image's name or the label", "plain text", "rename it"),
    "image_invalid": ("no path below a folder", "an image's path relative to --images", "correct the row"),
    "stem_twice": ("another image of this name but for the suffix", "one file of boxes per image", "rename one image"),
}


@dataclass(frozen=True)
class Conversion:
    """Boxes and images without a box, for `write_boxes`; findings on those left out; other lost content, in words."""

    boxes: Table
    background: Table
    unwritten: tuple[Finding, ...]
    lost: tuple[str, ...]


def convert(dataset: Dataset, to: Target) -> Conversion:
    """Return the annotations as far as a format can represent them; BadFileError if they can't be read.

    An image's size is that of its file, upright, else the first that is annotated.
    """
    read = read_annotations(dataset.config, dataset.annotations, images=dataset.images)
    background = pd.DataFrame(read.background, columns=["image", *SIZE], dtype="str")
    sizes = _sizes(pd.concat([read.boxes[["image", *SIZE]], background]), dataset.images)
    of_box = sizes.set_index("image").loc[read.boxes["image"]].to_numpy()
    coordinates = parse_coordinates(read.boxes)
    edges = dict(zip(EDGES, edges_px(coordinates, of_box, dataset.config).T, strict=True))
    boxes = read.boxes.assign(**edges, width=of_box[:, 0], height=of_box[:, 1])
    background = sizes[~sizes["image"].isin(boxes["image"])].sort_values("image")

    if not dataset.config.columns:  # else their encoding was chosen by what fits
        _check_fits(boxes, dataset.annotations)
    bad_names = _bad_names([*boxes["image"], *background["image"]], to)
    boxes["rule"] = _box_rules(boxes, coordinates, bad_names, to)
    unsized = background["width"].isna() & (to in ("voc", "coco"))
    background["rule"] = background["image"].map(bad_names).mask(unsized, "size_unknown")
    files = image_files(dataset.images)  # none where there is no folder, or an empty one
    for table in (boxes, background):
        missing = ~table["image"].isin(files) & bool(files)
        table["rule"] = table["rule"].mask((table["rule"] == "") & missing, "image_missing")
    background = background.assign(file=dataset.annotations.as_posix(), line=None, element="")
    unwritten = [*_findings(boxes[boxes["rule"] != ""]), *_findings(background[background["rule"] != ""])]
    lost = (*read.ignored, *_lost(read.boxes, to))
    return Conversion(boxes[boxes["rule"] == ""], background[background["rule"] == ""], tuple(unwritten), lost)


def _sizes(rows: Table, images: Path | None) -> Table:
    """Return image, width and height, one row per image: whole numbers of pixels, NaN where unknown."""
    sizes = first_sizes(rows)
    if images is not None:
        from_files = header_sizes(sizes["image"].tolist(), images)
        sizes[SIZE] = np.where(np.isnan(from_files), sizes[SIZE], from_files)
    return sizes


def _check_fits(boxes: Table, source: Path) -> None:
    """Raise BadFileError where fewer than half of the boxes lie, but for a pixel, within images of known size."""
    known = boxes[boxes[SIZE].notna().all(axis=1)]
    edges, sizes = known[EDGES].to_numpy(), known[SIZE].to_numpy()
    inside = int(((edges >= -1).all(axis=1) & (edges <= np.tile(sizes, 2) + 1).all(axis=1)).sum())
    if len(known) >= ENOUGH and inside < len(known) / 2:
        got, fix = (
            f"only {inside} of {len(known)}",
            "are these the images? are the boxes right in the tool that drew them?",
        )
        raise bad_file(source.as_posix(), "boxes_outside", got=got, expected="boxes within their images", fix=fix)


def _bad_names(images: Iterable[str], to: Target) -> dict[str, str]:
    """Return for each image the rule (a key of REASONS) that its name violates, or an empty text."""
    rules = dict.fromkeys(images, "")
    stems: dict[str, str] = {}
    for image in rules:
        path = PurePosixPath(image)
        if CONTROLS.search(image):
            rules[image] = "control_character"
        elif not path.name or path.is_absolute() or ".." in path.parts:
            rules[image] = "image_invalid"
        elif to in ("voc", "yolo") and stems.setdefault(label_path(image, ""), image) != image:
            rules[image] = "stem_twice"
    return rules


def _box_rules(boxes: Table, coordinates: Array, bad_names: dict[str, str], to: Target) -> "pd.Series[str]":
    """Return for each box the rule (a key of REASONS) that it violates, or an empty text."""
    sizes, edges = boxes[SIZE].to_numpy(), boxes[EDGES].to_numpy()
    controls = {text for text in {*boxes["label"], *boxes["group"]} if CONTROLS.search(text)}
    failing = {
        "not_a_number": np.isnan(coordinates).any(axis=1),
        "size_unknown": np.isnan(edges).any(axis=1) | (np.isnan(sizes).any(axis=1) & (to != "csv")),
        "corners_order": (edges[:, 2:] < edges[:, :2]).any(axis=1) & (to != "csv"),
        "control_character": boxes[["label", "group"]].isin(controls).any(axis=1),
    }
    rules = boxes["image"].map(bad_names)
    for rule, rows in failing.items():
        rules = rules.mask((rules == "") & rows, rule)
    return rules


def _findings(rows: Table) -> Iterator[Finding]:
    for file, line, element, image, rule in zip(
        *(rows[name] for name in ("file", "line", "element", "image", "rule")), strict=True
    ):
        got, expected, fix = REASONS[rule]
        got += f" ({image!r})"
        yield critical(file, rule, line=line, column=element, got=got, expected=expected, fix=fix)


def _lost(boxes: Table, to: Target) -> Iterator[str]:
    """Yield in words the content that the format can't represent."""
    if to != "csv" and (count := int((boxes["group"] != "").sum())):
        yield f"the groups of {count} boxes"
    if to == "yolo" and (boxes["width"] != "").any():
        yield "the images' sizes as annotated"
    spaced = sorted({text for text in {*boxes["label"], *boxes["image"]} if text != text.strip()})
    if to == "voc" and spaced:
        yield f"the spaces around {', '.join(map(repr, spaced[:5]))}"
