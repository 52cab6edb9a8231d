"""What annotations are, told by looking at all of them: their format, and how their boxes are written."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from localizer.boxes import FORMATS, Array, BoxFormat
from localizer.dataset import Units
from localizer.datasets.detection.encoding_fit import SLACK, edges_from_one, fits, limits
from localizer.datasets.readers.yolo import label_files
from localizer.findings import BadFileError, critical

Format = Literal["csv", "voc", "coco", "yolo"]
Origin = Literal[0, 1]

CONTRADICTED = 0.9  # names are not believed if fewer boxes fit them, and
CONVINCING = 0.99  # so many fit another reading


@dataclass(frozen=True)
class BoxEncoding:
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
        expected = "a folder of Pascal VOC's .xml files or one of YOLO's .txt files"
        fix = "name the folder of the one, without the other"
        raise BadFileError([critical(path.as_posix(), "format_unknown", got=listed, expected=expected, fix=fix)])
    return "voc" if xml else "yolo"


def detect_encoding(numbers: Array, sizes: Array, *, told: BoxEncoding, named: BoxFormat | None, names: str) -> Guess:
    """Return how boxes [N, 4] are written, given the sizes [N, 2] of their images, NaN where unknown.

    What is told wins; then what the columns' names mean, unless fewer than CONTRADICTED of the boxes fit
    that and at least CONVINCING fit another reading; then what most boxes fit, xyxy first.
    """
    whole = np.isfinite(numbers).all(axis=1)
    numbers, sizes = numbers[whole], sizes[whole]
    units, why_units = _units(numbers, told.box_units)
    origins = {
        reading: _origin(numbers, sizes, box_format=reading, units=units, told=told.box_origin) for reading in FORMATS
    }
    fitting = {
        reading: int(fits(numbers, sizes, box_format=reading, units=units, origin=origin).sum())
        for reading, (origin, _) in origins.items()
    }
    lie = "lie within their images" if np.isfinite(limits(sizes, units)).any() else "are well-formed"
    box_format, why_format = _box_format(fitting, len(numbers), lie=lie, told=told.box_format, named=named, names=names)
    origin, why_origin = origins[box_format]
    reasons = (
        f"box_format: {box_format}, {why_format}",
        f"box_units: {units}, {why_units}",
        f"box_origin: {origin}, {why_origin}",
    )
    return Guess(box_format, units, origin, reasons)


def trust_names(told: BoxEncoding, named: BoxFormat | None, names: str) -> Guess:
    """Return how boxes are written by the names of their columns and the defaults: pixels from 0."""
    box_format = told.box_format or named or "xyxy"
    reasons = [f"box_format: {box_format}, {'as told' if told.box_format else f'since {names}'}"]
    if told.box_units:
        reasons.append(f"box_units: {told.box_units}, as told")
    if told.box_origin is not None:
        reasons.append(f"box_origin: {told.box_origin}, as told")
    return Guess(box_format, told.box_units or "pixel", told.box_origin or 0, tuple(reasons))


def _units(numbers: Array, told: Units | None) -> tuple[Units, str]:
    """Return the unit of finite boxes [N, 4], and why: shares are never above 1, and not all of them whole."""
    if told:
        return told, "as told"
    above = int((numbers > 1 + SLACK).any(axis=1).sum())
    if above:
        return "pixel", f"since {above} of {len(numbers)} boxes have a value above 1"
    if (numbers == np.round(numbers)).all():
        return "pixel", "since all values are whole"
    return "unit", f"since no value of {len(numbers)} boxes is above 1"


def _origin(
    numbers: Array, sizes: Array, *, box_format: BoxFormat, units: Units, told: Origin | None
) -> tuple[Origin, str]:
    """Return what pixels are counted from if boxes [N, 4] are read in a format, and why."""
    if told is not None:
        return told, "as told"
    if units == "unit" or box_format == "cxcywh":
        return 0, "as there is no other for shares and centres"
    seen = edges_from_one(numbers, sizes, box_format=box_format)
    if seen.below:
        return 0, f"since {seen.below} boxes begin below 1"
    end = f"{seen.at_end} end at their image's edge"
    if seen.are_a_sign():
        return 1, f"since no box begins below 1, {seen.at_one} begin at 1, and {end}, none beyond it"
    return 0, f"since {seen.at_one} boxes begin at 1, and {end}, {seen.beyond} beyond it"


def _box_format(
    fitting: dict[BoxFormat, int], count: int, *, lie: str, told: BoxFormat | None, named: BoxFormat | None, names: str
) -> tuple[BoxFormat, str]:
    """Return the format of `count` boxes, and why; `fitting` says how many of them fit each, `lie` what fitting is."""
    if told:
        return told, "as told"
    best: BoxFormat = max(fitting, key=fitting.__getitem__)  # of equals, the first
    taken = named or best
    contradicted = fitting[taken] < CONTRADICTED * max(count, 1) and fitting[best] >= CONVINCING * max(count, 1)
    taken = best if contradicted else taken
    others = ", ".join(f"{other}: {fitting[other]}" for other in fitting if other != taken)
    since = f"since {fitting[taken]} of {count} boxes {lie} read so ({others})"
    if named:
        since += f", {'although' if contradicted else 'and'} {names}"
    return taken, since
