"""Detecting how boxes are encoded, from all of them: their format, order, unit and origin."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from localizer.boxes import FORMATS, Array, BoxFormat, to_xyxy
from localizer.dataset import SCALES, Units
from localizer.datasets.coordinates import ordered
from localizer.datasets.detection.encoding_fit import MIN_BOXES, SLACK, fits, limits, one_based_edges

Origin = Literal[0, 1]
Order = tuple[int, int, int, int]

CONTRADICTED = 0.9  # column names are not believed if a smaller share of the boxes fits them, and
CONVINCING = 0.99  # at least this share fits another format; a second format that fits so much of the best is as good
FEW_ERRORS = 0.05  # of the boxes may be beyond a limit
HOPELESS = 0.5  # of the boxes: if no encoding fits more, the columns are no boxes
ENOUGH = 10  # boxes that show where boxes may reach
FAR, NEAR = 0.8, 0.7  # of a side: boxes of a whole set reach beyond FAR; those that end before NEAR have another unit

# The orders in which unnamed corners are looked for: x y x y, x x y y, y x y x.
XYXY: Order = (0, 1, 2, 3)
ORDERS: dict[Order, str] = {XYXY: "x, y, x, y", (0, 2, 1, 3): "x, x, y, y", (1, 0, 3, 2): "y, x, y, x"}


@dataclass(frozen=True)
class BoxEncoding:
    """How boxes are written; None where it is not known."""

    box_format: BoxFormat | None = None
    box_units: Units | None = None
    box_origin: Origin | None = None
    corners: Literal["ordered", "any"] = "ordered"


@dataclass(frozen=True)
class Detection:
    """How boxes are written, one line of reason for each value, and the order of the columns as xyxy.

    unclear: two encodings that fit equally well, in words; misfit: the share that fits, where that is hopeless.
    """

    encoding: BoxEncoding
    reasons: tuple[str, ...]
    order: Order = XYXY
    unclear: str = ""
    misfit: float | None = None


@dataclass(frozen=True)
class NamedColumns:
    """The names of a table's box columns: the format that they mean, None if none; and the names in words.

    weak: names that only settle what values leave open.
    """

    box_format: BoxFormat | None = None
    text: str = ""
    weak: bool = False


def detect_encoding(coordinates: Array, sizes: Array, *, given: BoxEncoding, named: NamedColumns) -> Detection:
    """Return how boxes [N, 4] are written, given the sizes [N, 2] of their images, NaN where unknown.

    What is given wins; then what the columns' names mean, unless fewer than CONTRADICTED of the boxes fit
    that and at least CONVINCING fit another format; then what most boxes fit, xyxy first.
    """
    finite = np.isfinite(coordinates).all(axis=1)
    coordinates, sizes, count = coordinates[finite], sizes[finite], int(finite.sum())
    units, why_units = _units(coordinates, sizes, given.box_units, given.box_format or named.box_format)
    origins = {one: _origin(coordinates, sizes, one, units, given.box_origin) for one in FORMATS}
    counts = {one: _fitting(coordinates, sizes, one, units, origin) for one, (origin, _) in origins.items()}
    known = bool(np.isfinite(limits(sizes, units)).any())
    fit = "lie within their images" if known else "are well-formed"
    choice, why = _box_format(counts, count, fit=fit, given=given.box_format, named=named)
    unnamed = not (given.box_format or named.box_format)
    corners = _Corners(counts[choice])
    if not given.box_format:
        corners = _corners(coordinates, sizes, choice, units, unnamed=unnamed and counts[choice] < CONVINCING * count)
    if corners.how:
        choice, why = "xyxy", f"since {corners.fitting} of {count} boxes {fit} with corners in {corners.how}"
    origin, why_origin = origins[choice]
    reasons = [
        f"box_format: {choice}, {why}",
        f"box_units: {units}, {why_units}",
        f"box_origin: {origin}, {why_origin}",
    ]
    encoding = BoxEncoding(choice, units, origin, "any" if corners.any_order else "ordered")
    unclear = _rival(counts, choice, coordinates) if unnamed and not corners.how else ""
    hopeless = known and not given.box_format and count >= ENOUGH and corners.fitting < HOPELESS * count
    return Detection(encoding, tuple(reasons), corners.order, unclear, corners.fitting / count if hopeless else None)


class _Corners(NamedTuple):
    """In what order a box's corners and their values are, in words where it is unusual, and how many boxes then fit."""

    fitting: int
    order: Order = XYXY
    any_order: bool = False
    how: str = ""


def _corners(coordinates: Array, sizes: Array, box_format: BoxFormat, units: Units, *, unnamed: bool) -> _Corners:
    """Return the order of corners; another than usual where CONVINCING of the boxes [N, 4] fit only so."""
    count, as_written = len(coordinates), _fitting(coordinates, sizes, box_format, units)
    order, in_order = _order(coordinates, sizes, units) if unnamed else (XYXY, 0)
    if order != XYXY:
        return _Corners(in_order, order, how=f"the order {ORDERS[order]}")
    found = _fitting(ordered(coordinates), sizes, "xyxy", units)
    turned = box_format == "xyxy" and count >= ENOUGH and as_written < CONTRADICTED * count
    if turned and found >= CONVINCING * count:  # more turn over than errors explain
        return _Corners(found, any_order=True, how="any order")
    return _Corners(as_written)


def _fitting(coordinates: Array, sizes: Array, box_format: BoxFormat, units: Units, origin: Origin = 0) -> int:
    """Return how many boxes [N, 4] lie within their images."""
    return int(fits(coordinates, sizes, box_format=box_format, units=units, origin=origin).sum())


def _order(coordinates: Array, sizes: Array, units: Units) -> tuple[Order, int]:
    """Return the order in which CONVINCING of the boxes [N, 4] fit as corners, and how many; x, y, x, y if none."""
    counts = {order: _fitting(coordinates[:, order], sizes, "xyxy", units) for order in ORDERS}
    best = max(counts, key=counts.__getitem__)
    return (best, counts[best]) if counts[best] >= CONVINCING * len(coordinates) else (XYXY, counts[XYXY])


def _units(coordinates: Array, sizes: Array, given: Units | None, box_format: BoxFormat | None) -> tuple[Units, str]:
    """Return the unit of finite boxes [N, 4], and why; in [0, 1] none is above 1, and not all are whole."""
    if given:
        return given, "as given"
    above = int((coordinates > 1 + SLACK).any(axis=1).sum())
    whole = coordinates == np.round(coordinates)
    if above <= FEW_ERRORS * len(coordinates) and not whole.all():
        return "unit", f"since {f'only {above}' if above else 'no value'} of {len(coordinates)} boxes is above 1"
    if not above:
        return "pixel", "since all values are whole"
    for units in ("percent", "thousandth"):
        if why := _share_of_side(coordinates, sizes, units, box_format):
            return units, why
    return "pixel", f"since {above} of {len(coordinates)} boxes have a value above 1"


def _share_of_side(
    coordinates: Array, sizes: Array, units: Literal["percent", "thousandth"], box_format: BoxFormat | None
) -> str:
    """Return why boxes are in per cent or thousandths of their images' sides; empty where they are not.

    Either they don't fit their images in pixels, or, in pixels, all would lie in one corner of their images.
    """
    whole, known = SCALES[units], np.isfinite(sizes).all(axis=1)
    beyond = (coordinates > whole + SLACK).any(axis=1).sum()
    if known.sum() < ENOUGH or beyond > FEW_ERRORS * len(coordinates) or (coordinates <= whole / 10).all():
        return ""
    coordinates, sizes = coordinates[known], sizes[known]
    formats = [box_format] if box_format else list(FORMATS)
    best = max(formats, key=lambda one: _fitting(coordinates, sizes, one, units))
    count, share = len(coordinates), _fitting(coordinates, sizes, best, units)
    pixel = max(_fitting(coordinates, sizes, one, "pixel") for one in formats)
    pixel = pixel if box_format else max(pixel, _order(coordinates, sizes, "pixel")[1])
    if share < (1 - FEW_ERRORS) * count:
        return ""
    if pixel < HOPELESS * count:
        return f"since {share} of {count} boxes lie within their images so, and {pixel} in pixels"
    edges = np.sort(to_xyxy(coordinates, best)[:, 2:], axis=0)[: math.ceil((1 - FEW_ERRORS) * count)]
    if (to_xyxy(coordinates, best)[:, 2:] / sizes).max() < NEAR and edges.max() > FAR * whole:
        return (
            f"since no value is above {whole:g}, and in pixels all {count} boxes would lie in a corner of their images"
        )
    return ""


def _origin(
    coordinates: Array, sizes: Array, box_format: BoxFormat, units: Units, given: Origin | None
) -> tuple[Origin, str]:
    """Return what pixels are counted from if boxes [N, 4] have a format, and why."""
    if given is not None:
        return given, "as given"
    if units != "pixel" or box_format == "cxcywh":
        return 0, "the only one of centers and of shares of a side"
    edges = one_based_edges(coordinates, sizes, box_format=box_format)
    if edges.below:
        return 0, f"since {edges.below} boxes begin below 1"
    end = f"{edges.at_end} end at their image's edge"
    if edges.suggest_one_based():
        return 1, f"since no box begins below 1, {edges.at_one} begin at 1, and {end}, none beyond it"
    return 0, f"since {edges.at_one} boxes begin at 1, and {end}, {edges.beyond} beyond it"


def _box_format(
    fitting: dict[BoxFormat, int], count: int, *, fit: str, given: BoxFormat | None, named: NamedColumns
) -> tuple[BoxFormat, str]:
    """Return the format of `count` boxes, and why. fitting: how many fit each format; fit: what that is, in words."""
    if given:
        return given, "as given"
    best = max(fitting, key=fitting.__getitem__)  # of equals, the first
    chosen = named.box_format or best
    contradicted = fitting[chosen] < CONTRADICTED * max(count, 1) and fitting[best] >= CONVINCING * max(count, 1)
    contradicted &= not fitting[chosen] or fitting[best] - fitting[chosen] >= MIN_BOXES  # fewer may be errors
    contradicted |= named.weak and fitting[chosen] < CONVINCING * fitting[best]
    chosen = best if contradicted else chosen
    others = ", ".join(f"{other}: {fitting[other]}" for other in fitting if other != chosen)
    why = f"since {fitting[chosen]} of {count} boxes {fit} ({others})"
    if named.box_format:
        why += f", {'although' if contradicted else 'and'} {named.text}"
    return chosen, why


def _rival(fitting: dict[BoxFormat, int], chosen: BoxFormat, coordinates: Array) -> str:
    """Return, in words, that another format fits as well, with one box under both; empty if none does."""
    others = [other for other in fitting if other not in (chosen, "xyhw") and fitting[other] > 0]
    rival = max(others, key=fitting.__getitem__, default=None)
    if rival is None or fitting[rival] < CONVINCING * fitting[chosen]:
        return ""
    box = coordinates[len(coordinates) // 2 : len(coordinates) // 2 + 1]
    return f"{_shown(box[0])}, which is {_as(box, chosen)}, and {_as(box, rival)}"


def _as(box: Array, box_format: BoxFormat) -> str:
    corners = to_xyxy(box, box_format)[0]
    return f"a box from ({_shown(corners[:2])}) to ({_shown(corners[2:])}) as {box_format}"


def _shown(values: Sequence[float] | Array) -> str:
    return ", ".join(f"{value:g}" for value in values)
