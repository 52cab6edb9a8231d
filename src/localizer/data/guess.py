"""What annotations are, told by looking at all of them: their format, and how their boxes are written."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from localizer.boxes import Array, BoxFormat, to_xyxy
from localizer.data.card import Units
from localizer.data.finding import BadFileError, fault
from localizer.data.formats.yolo import label_files

Format = Literal["csv", "voc", "coco", "yolo"]
Origin = Literal[0, 1]

CONTRADICTED = 0.9  # names are not believed if fewer boxes fit them, and
CONVINCING = 0.99  # so many fit another reading
SLACK = 1e-6  # of a side, for shares that were rounded


@dataclass(frozen=True)
class Writing:
    """How boxes are written; None where it is not known."""

    box_format: BoxFormat | None = None
    box_units: Units | None = None
    box_origin: Origin | None = None


@dataclass(frozen=True)
class Guess:
    """How boxes are written, and for each thing taken a line that says why."""

    box_format: BoxFormat
    box_units: Units
    box_origin: Origin
    reasons: tuple[str, ...]


def annotation_format(path: Path) -> Format:
    """Return the format of a file, by its suffix, or folder, by the files below it; ValueError says what is there."""
    if not path.exists():
        raise ValueError(f"{path}: no such file or folder")
    if not path.is_dir():
        return "coco" if path.suffix.lower() == ".json" else "csv"
    xml, txt = next(path.rglob("*.xml"), None), next(iter(label_files(path)), None)
    if (xml is None) == (txt is None):
        there = Counter(file.suffix or "no suffix" for file in path.rglob("*") if file.is_file())
        listed = ", ".join(f"{count} {suffix}" for suffix, count in there.most_common(5)) or "nothing"
        wanted = "a folder of Pascal VOC's .xml files or one of YOLO's .txt files"
        fix = "name the folder of the one, without the other"
        raise BadFileError([fault(path.as_posix(), "format_unknown", got=listed, wanted=wanted, fix=fix)])
    return "voc" if xml else "yolo"


def guess_writing(numbers: Array, sizes: Array, *, told: Writing, named: BoxFormat | None, names: str) -> Guess:
    """Return how boxes [N, 4] are written, given the sizes [N, 2] of their images, NaN where unknown.

    What is told wins; then what the columns' names mean, unless fewer than CONTRADICTED of the boxes fit
    that and at least CONVINCING fit another reading; then what most boxes fit, xyxy first.
    """
    whole = np.isfinite(numbers).all(axis=1)
    numbers, sizes = numbers[whole], sizes[whole]
    units, why_units = _units(numbers, told.box_units)
    box_format, why_format = _box_format(numbers, sizes, units, told=told.box_format, named=named, names=names)
    origin, why_origin = _origin(numbers, sizes, box_format, units, told=told.box_origin)
    reasons = (
        f"box_format: {box_format}, {why_format}",
        f"box_units: {units}, {why_units}",
        f"box_origin: {origin}, {why_origin}",
    )
    return Guess(box_format, units, origin, reasons)


def trust_names(told: Writing, named: BoxFormat | None, names: str) -> Guess:
    """Return how boxes are written by the names of their columns and the defaults: pixels from 0."""
    box_format = told.box_format or named or "xyxy"
    reasons = [f"box_format: {box_format}, {'as told' if told.box_format else f'since {names}'}"]
    if told.box_units:
        reasons.append(f"box_units: {told.box_units}, as told")
    if told.box_origin is not None:
        reasons.append(f"box_origin: {told.box_origin}, as told")
    return Guess(box_format, told.box_units or "pixel", told.box_origin or 0, tuple(reasons))


def _units(numbers: Array, told: Units | None) -> tuple[Units, str]:
    if told:
        return told, "as told"
    above = int((numbers > 1 + SLACK).any(axis=1).sum())
    if above:
        return "pixel", f"since {above} of {len(numbers)} boxes have a value above 1"
    if (numbers == np.round(numbers)).all():
        return "pixel", "since all values are whole"
    return "unit", f"since no value of {len(numbers)} boxes is above 1"


def _box_format(
    numbers: Array, sizes: Array, units: Units, *, told: BoxFormat | None, named: BoxFormat | None, names: str
) -> tuple[BoxFormat, str]:
    if told:
        return told, "as told"
    fits = {box_format: _fitting(numbers, sizes, box_format, units) for box_format in get_args(BoxFormat)}
    best: BoxFormat = max(fits, key=lambda box_format: fits[box_format])  # of equals, the first
    taken, count = named or best, max(len(numbers), 1)
    contradicted = fits[taken] < CONTRADICTED * count and fits[best] >= CONVINCING * count
    taken = best if contradicted else taken
    others = ", ".join(f"{box_format}: {fits[box_format]}" for box_format in fits if box_format != taken)
    lie = "lie within their images" if np.isfinite(sizes).any() or units == "unit" else "are well-formed"
    since = f"since {fits[taken]} of {len(numbers)} boxes {lie} read so ({others})"
    if named:
        since += f", {'although' if contradicted else 'and'} {names}"
    return taken, since


def _fitting(numbers: Array, sizes: Array, box_format: BoxFormat, units: Units) -> int:
    """Return how many boxes have an area and lie within their image, where its size is known."""
    edges = to_xyxy(numbers, box_format)
    limits = np.ones_like(sizes) if units == "unit" else np.where(np.isfinite(sizes), sizes, np.inf)
    inside = (edges[:, :2] >= -SLACK).all(axis=1) & (edges[:, 2:] <= limits * (1 + SLACK)).all(axis=1)
    return int((inside & (edges[:, 2:] > edges[:, :2]).all(axis=1)).sum())


def _origin(
    numbers: Array, sizes: Array, box_format: BoxFormat, units: Units, *, told: Origin | None
) -> tuple[Origin, str]:
    """Return 1 where that alone explains where boxes begin and end: at 1, and on the image's last pixel."""
    if told is not None:
        return told, "as told"
    if units == "unit" or box_format == "cxcywh":
        return 0, "as there is no other for shares and centres"
    starts = numbers[:, :2]
    # Counted from 1, a box of x and width ends on the pixel x + width - 1.
    ends = to_xyxy(numbers, box_format)[:, 2:] - (0 if box_format == "xyxy" else 1)
    below, at = int((starts < 1).any(axis=1).sum()), int((starts == 1).any(axis=1).sum())
    beyond, touching = int((ends > sizes).any(axis=1).sum()), int((ends == sizes).any(axis=1).sum())
    if below:
        return 0, f"since {below} boxes begin below 1"
    if not (at and touching) or beyond:
        return 0, f"since {at} boxes begin at 1, and {touching} end at their image's edge, {beyond} beyond it"
    return 1, f"since no box begins below 1, {at} begin at 1, and {touching} end at their image's edge, none beyond it"
