"""Signs in the whole file that its boxes are not what the card says: another format, unit or origin."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from localizer.boxes import FORMATS, Array, to_xyxy
from localizer.data.card import Card
from localizer.data.finding import Finding, Severity
from localizer.data.rules import CARD
from localizer.data.tables import Table

MANY = 0.1  # of the rows do not fit, but would in another format: no single mistakes
NEARLY_ALL = 0.99  # of the rows would fit in another format: then a few that do not fit are a sign
FEWEST = 3  # rows that are a sign


def doubts(boxes: Table, card: Card, found: Iterable[Finding], *, source: str) -> Iterator[Finding]:
    """Yield the findings about the file as a whole; `found` are those of its rows."""
    wrong = {one.row for one in found if one.rule in ("corner_order", "outside_image")}
    rows = boxes[boxes["judged"]]
    yield from _other_format(rows, card, unfit=rows[rows["row"].isin(wrong)], source=source)
    yield from _from_one(rows, card, source=source)
    yield from _pixels(rows, card, source=source)


def of_file(name: str, file: str, *, got: str, wanted: str, fix: str, severity: Severity = "critical") -> Finding:
    """Return a finding about the annotations as a whole."""
    return Finding(file, None, "", name, severity, got, wanted, fix)


def _other_format(rows: Table, card: Card, *, unfit: Table, source: str) -> Iterator[Finding]:
    """Yield the finding that the rows that do not fit their images would fit in another box format."""
    if card.format != "csv" or unfit.empty:
        return
    others = [box_format for box_format in FORMATS if box_format != card.box_format]
    fitting = {other: int(_fit(unfit, card, to_xyxy(_given(unfit, card), other)).sum()) for other in others}
    best = max(others, key=fitting.__getitem__)
    all_fitting = int(_fit(rows, card, to_xyxy(_given(rows, card), best)).sum())
    few_but_telling = fitting[best] >= FEWEST and all_fitting >= NEARLY_ALL * len(rows)
    if fitting[best] < MANY * len(rows) and not few_but_telling:
        return
    got = f"{len(unfit)} of {len(rows)} boxes wrong as {card.box_format}; {fitting[best]} of them fit as {best}"
    got += f", as do {all_fitting} of all"
    severity: Severity = "critical" if fitting[best] > len(rows) / 2 else "warning"
    fix = f"are the columns {best} ({', '.join(FORMATS[best])})? set box_format in {CARD}"
    yield of_file(f"read_as_{best}", source, got=got, wanted=f"boxes in {card.box_format}", fix=fix, severity=severity)


def _from_one(rows: Table, card: Card, *, source: str) -> Iterator[Finding]:
    """Yield the finding that pixels seem to be counted from 1."""
    if card.box_origin == 1 or card.box_units == "unit" or card.box_format == "cxcywh":
        return
    given, size = _given(rows, card), rows[["image_width", "image_height"]].to_numpy(dtype=np.float64)
    # As given, not as clipped. Counted from 1, a box of x and width ends on the pixel x + width - 1.
    near, far = given[:, :2], to_xyxy(given, card.box_format)[:, 2:] - (0 if card.box_format == "xyxy" else 1)
    at_one, at_end = int((near == 1).any(axis=1).sum()), int((far == size).any(axis=1).sum())
    if (near < 1).any() or (far > size).any() or min(at_one, at_end) < FEWEST:
        return
    got = f"no box that begins before 1, {at_one} that begin at 1, and {at_end} that end at their image's last edge"
    fix = f"are pixels counted from 1, as in Pascal VOC? set box_origin: 1 in {CARD}"
    yield of_file("counted_from_one", source, got=got, wanted="pixels counted from 0", fix=fix, severity="warning")


def _pixels(rows: Table, card: Card, *, source: str) -> Iterator[Finding]:
    """Yield the finding that shares of the image seem to be pixels."""
    large = int((rows["largest_value"] > 1).sum())
    if card.box_units == "unit" and large > len(rows) / 2:
        got = f"{large} of {len(rows)} boxes with a value above 1"
        fix = f"are the boxes in pixels? set box_units: pixel in {CARD}"
        if card.format == "yolo":
            fix = "are the boxes in pixels? YOLO's are shares: divide them by the image's width and height"
        yield of_file("pixel_coordinates", source, got=got, wanted="shares of the image, in [0, 1]", fix=fix)


def _given(rows: Table, card: Card) -> Array:
    return rows[list(FORMATS[card.box_format])].to_numpy(dtype=np.float64)


def _fit(rows: Table, card: Card, boxes_xyxy: Array) -> NDArray[np.bool_]:
    """Return which boxes [N, 4], in the card's unit, have an area and lie within their images."""
    size = rows[["image_width", "image_height"]].to_numpy(dtype=np.float64)
    limit = np.ones_like(size) if card.box_units == "unit" else size
    low, high = boxes_xyxy[:, :2], boxes_xyxy[:, 2:]
    inside: NDArray[np.bool_] = (low >= 0) & (low < high) & (high <= limit)
    return inside[:, 0] & inside[:, 1]
