"""Signs in the whole file that its boxes are not what the card says: another format, unit or origin."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from localizer.boxes import FORMATS, Array
from localizer.dataset import DatasetConfig
from localizer.datasets.detection.encoding_fit import MIN_BOXES, fits, limits, one_based_edges
from localizer.findings import Finding, Severity
from localizer.tables import Table
from localizer.validation.rules.rule import CARD

MANY = 0.1  # of the rows do not fit, but would in another format: no single mistakes
NEARLY_ALL = 0.99  # of the rows would fit in another format: then a few that do not fit are a sign


def doubts(boxes: Table, card: DatasetConfig, found: Sequence[Finding], *, source: str) -> Iterator[Finding]:
    """Yield the findings about the file as a whole; `found` are those of its rows."""
    rows = boxes[boxes["judged"]]
    yield from _other_format(rows, card, found, source=source)
    yield from _swapped_axes(rows, card, found, source=source)
    yield from _from_one(rows, card, source=source)
    yield from _pixels(rows, card, source=source)


def file_finding(
    name: str, file: str, *, got: str, expected: str, fix: str, severity: Severity = "critical"
) -> Finding:
    """Return a finding about the annotations as a whole."""
    return Finding(file, None, "", name, severity, got, expected, fix)


def _other_format(rows: Table, card: DatasetConfig, found: Sequence[Finding], *, source: str) -> Iterator[Finding]:
    """Yield the finding that the rows that do not fit their images would fit in another box format."""
    unfit, sized = _unfit(rows, card, found), _sized(rows, card)
    if card.format != "csv" or not unfit.any():
        return
    given, sizes = _given(rows, card), _sizes(rows)
    fitting = {
        other: fits(given, sizes, box_format=other, units=card.box_units, origin=card.box_origin)
        for other in FORMATS
        if other != card.box_format
    }
    counts = {other: int((fitting[other] & unfit).sum()) for other in fitting}
    best = max(counts, key=counts.__getitem__)
    few_but_telling = counts[best] >= MIN_BOXES and (fitting[best] & sized).sum() >= NEARLY_ALL * len(rows)
    if counts[best] < MANY * len(rows) and not few_but_telling:
        return
    got = f"{unfit.sum()} of {len(rows)} boxes wrong as {card.box_format}; {counts[best]} of them fit as {best}"
    got += f", as do {fitting[best].sum()} of all"
    severity: Severity = "critical" if counts[best] > len(rows) / 2 else "warning"
    fix = f"are the columns {best} ({', '.join(FORMATS[best])})? set box_format: {best} in {CARD}"
    yield file_finding(
        f"read_as_{best}", source, got=got, expected=f"boxes in {card.box_format}", fix=fix, severity=severity
    )


def _swapped_axes(rows: Table, card: DatasetConfig, found: Sequence[Finding], *, source: str) -> Iterator[Finding]:
    """Yield the finding that all boxes would fit their images with y before x."""
    unfit, sized = _unfit(rows, card, found), _sized(rows, card)
    if card.format != "csv" or unfit.sum() < MIN_BOXES:
        return
    given = _given(rows, card)[:, [1, 0, 3, 2]]
    fitting = fits(given, _sizes(rows), box_format=card.box_format, units=card.box_units, origin=card.box_origin)
    if (fitting & sized).sum() >= NEARLY_ALL * len(rows) and (fitting & unfit).sum() >= MIN_BOXES:
        got = f"{unfit.sum()} of {len(rows)} boxes wrong; {fitting.sum()} of all fit with x and y swapped"
        fix = f"are the columns y before x? name them in the order x, y, x, y: `columns.box` of {CARD}"
        yield file_finding("read_as_yx", source, got=got, expected="x before y", fix=fix, severity="warning")


def _from_one(rows: Table, card: DatasetConfig, *, source: str) -> Iterator[Finding]:
    """Yield the finding that pixels seem to be counted from 1."""
    if card.box_origin == 1 or card.box_units == "unit" or card.box_format == "cxcywh":
        return
    seen = one_based_edges(_given(rows, card), _sizes(rows), box_format=card.box_format)  # as given, not as clipped
    if not seen.suggest_one_based():
        return
    got = f"no box that begins before 1, {seen.at_one} that begin at 1, and {seen.at_end} that end at their image's"
    fix = f"are pixels counted from 1, as in Pascal VOC? set box_origin: 1 in {CARD}"
    yield file_finding(
        "counted_from_one",
        source,
        got=f"{got} last edge",
        expected="pixels counted from 0",
        fix=fix,
        severity="warning",
    )


def _pixels(rows: Table, card: DatasetConfig, *, source: str) -> Iterator[Finding]:
    """Yield the finding that shares of the image seem to be pixels."""
    large = int((rows["largest_value"] > 1).sum())
    if card.box_units == "unit" and large > len(rows) / 2:
        got = f"{large} of {len(rows)} boxes with a value above 1"
        fix = f"are the boxes in pixels? set box_units: pixel in {CARD}"
        if card.format == "yolo":
            fix = "are the boxes in pixels? YOLO's are shares: divide them by the image's width and height"
        yield file_finding("pixel_coordinates", source, got=got, expected="shares of the image, in [0, 1]", fix=fix)


def _unfit(rows: Table, card: DatasetConfig, found: Sequence[Finding]) -> NDArray[np.bool_]:
    """Return which rows are wrong as the card reads them: empty or turned over, or outside an image of known size."""
    turned, outside = ({one.row for one in found if one.rule == rule} for rule in ("corner_order", "outside_image"))
    return rows["row"].isin(turned).to_numpy() | (rows["row"].isin(outside).to_numpy() & _sized(rows, card))


def _sized(rows: Table, card: DatasetConfig) -> NDArray[np.bool_]:
    """Return which rows have a limit to fit into; without one, nearly any numbers are a box in another format."""
    return np.isfinite(limits(_sizes(rows), card.box_units).max(axis=1))


def _given(rows: Table, card: DatasetConfig) -> Array:
    return rows[list(FORMATS[card.box_format])].to_numpy(dtype=np.float64)


def _sizes(rows: Table) -> Array:
    return rows[["image_width", "image_height"]].to_numpy(dtype=np.float64)
