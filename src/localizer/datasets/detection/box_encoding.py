"""Detecting how boxes are encoded, from all of them: their format, unit and origin."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from localizer.boxes import FORMATS, Array, BoxFormat
from localizer.dataset import Units
from localizer.datasets.detection.encoding_fit import SLACK, fits, limits, one_based_edges

Origin = Literal[0, 1]

CONTRADICTED = 0.9  # column names are not believed if a smaller share of the boxes fits them, and
CONVINCING = 0.99  # at least this share fits another format


@dataclass(frozen=True)
class BoxEncoding:
    """How boxes are written; None where it is not known."""

    box_format: BoxFormat | None = None
    box_units: Units | None = None
    box_origin: Origin | None = None


@dataclass(frozen=True)
class Detection:
    """How boxes are written, and one line of reason for each value that was given or detected."""

    encoding: BoxEncoding
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class NamedColumns:
    """The names of a CSV's box columns: the format that they mean, None if none; and the names in words."""

    box_format: BoxFormat | None = None
    text: str = ""


def detect_encoding(coordinates: Array, sizes: Array, *, given: BoxEncoding, named: NamedColumns) -> Detection:
    """Return how boxes [N, 4] are written, given the sizes [N, 2] of their images, NaN where unknown.

    What is given wins; then what the columns' names mean, unless fewer than CONTRADICTED of the boxes fit
    that and at least CONVINCING fit another format; then what most boxes fit, xyxy first.
    """
    finite = np.isfinite(coordinates).all(axis=1)
    coordinates, sizes = coordinates[finite], sizes[finite]
    units, why_units = _units(coordinates, given.box_units)
    origins = {box_format: _origin(coordinates, sizes, box_format, units, given.box_origin) for box_format in FORMATS}
    fitting = {
        box_format: int(fits(coordinates, sizes, box_format=box_format, units=units, origin=origin).sum())
        for box_format, (origin, _) in origins.items()
    }
    fit = "lie within their images" if np.isfinite(limits(sizes, units)).any() else "are well-formed"
    box_format, why_format = _box_format(fitting, len(coordinates), fit=fit, given=given.box_format, named=named)
    origin, why_origin = origins[box_format]
    reasons = (
        f"box_format: {box_format}, {why_format}",
        f"box_units: {units}, {why_units}",
        f"box_origin: {origin}, {why_origin}",
    )
    return Detection(BoxEncoding(box_format, units, origin), reasons)


def trust_names(given: BoxEncoding, named: NamedColumns) -> Detection:
    """Return how boxes are written by the names of their columns and the defaults: xyxy, in pixels from 0."""
    encoding = BoxEncoding(
        given.box_format or named.box_format or "xyxy", given.box_units or "pixel", given.box_origin or 0
    )
    reasons = [] if given.box_format else [f"box_format: {encoding.box_format}, since {named.text}"]
    reasons += [f"{key}: {value}, as given" for key, value in vars(given).items() if value is not None]
    return Detection(encoding, tuple(reasons))


def _units(coordinates: Array, given: Units | None) -> tuple[Units, str]:
    """Return the unit of finite boxes [N, 4], and why; in [0, 1] none is above 1, and not all are whole."""
    if given:
        return given, "as given"
    above = int((coordinates > 1 + SLACK).any(axis=1).sum())
    if above:
        return "pixel", f"since {above} of {len(coordinates)} boxes have a value above 1"
    if (coordinates == np.round(coordinates)).all():
        return "pixel", "since all values are whole"
    return "unit", f"since no value of {len(coordinates)} boxes is above 1"


def _origin(
    coordinates: Array, sizes: Array, box_format: BoxFormat, units: Units, given: Origin | None
) -> tuple[Origin, str]:
    """Return what pixels are counted from if boxes [N, 4] have a format, and why."""
    if given is not None:
        return given, "as given"
    if units == "unit" or box_format == "cxcywh":
        return 0, "the only one of centers and of boxes in [0, 1]"
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
    chosen = best if contradicted else chosen
    others = ", ".join(f"{other}: {fitting[other]}" for other in fitting if other != chosen)
    why = f"since {fitting[chosen]} of {count} boxes {fit} ({others})"
    if named.box_format:
        why += f", {'although' if contradicted else 'and'} {named.text}"
    return chosen, why
