"""What failed, told to a person: one finding for each row, image or file, with what to do."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from localizer.boxes import FORMATS, Array, to_xyxy
from localizer.data.card import Card
from localizer.data.rules import CARD, Failure, Rule, Severity, name_some
from localizer.data.tables import Table

MISREAD_SHARE = 0.1  # of the rows that fit another box format; fewer are single mistakes


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, with the row's position in the table of boxes, or the image's name."""

    file: str
    line: int | None
    column: str
    rule: str
    severity: Severity
    got: str
    wanted: str
    fix: str
    row: int | None = None
    image: str | None = None

    def __str__(self) -> str:
        """Return the finding on one line, with what would break the line or steer a terminal escaped."""
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part not in (None, ""))
        text = f"{place}: {self.rule} got {self.got}, wanted {self.wanted}; {self.fix}"
        return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)

    def is_of_file(self) -> bool:
        """Return whether the finding is about the annotations as a whole."""
        return self.row is None and self.image is None


def tell(table: Table, failures: Iterable[Failure], *, whole: str) -> Iterator[Finding]:
    """Yield the findings of a table's failures; `whole` is the file or folder that a file's rule is about."""
    for failure in failures:
        rule = failure.rule
        rows = table.iloc[list(failure.rows)]
        if rule.scope == "file":
            known = {"count": len(rows), "first": name_some(list(rows["image"])), "file": whole, "line": ""}
            yield _finding(rule, known, severity=rule.severity)
            continue
        for row in rows[rows[rule.told]].to_dict("records") if rule.told else rows.to_dict("records"):
            yield _finding(rule, row, severity=rule.severity if row["judged"] else "warning")


def _finding(rule: Rule, known: Mapping[Any, Any], *, severity: Severity) -> Finding:
    return Finding(
        file=known["file"],
        line=int(known["line"]) if known["line"] else None,
        column=rule.column,
        rule=rule.name,
        severity=severity,
        got=rule.got.format_map(known),
        wanted=rule.wanted.format_map(known),
        fix=rule.fix.format_map(known),
        row=known["row"] if rule.scope == "row" else None,
        image=known["image"] if rule.scope == "image" else None,
    )


def misread(boxes: Table, card: Card, found: Iterable[Finding], *, source: str) -> list[Finding]:
    """Return the finding that many rows which do not fit their image would fit it in another box format."""
    wrong = {one.row for one in found if one.rule in ("corner_order", "outside_image")}
    rows = boxes[boxes["judged"]]
    unfit = rows[rows["row"].isin(wrong)]
    if card.format == "voc" or unfit.empty:
        return []
    others = [box_format for box_format in FORMATS if box_format != card.box_format]
    fitting = {other: int(_fit(unfit, card, to_xyxy(_given(unfit, card), other)).sum()) for other in others}
    best = max(others, key=fitting.__getitem__)
    if fitting[best] < MISREAD_SHARE * len(rows):
        return []
    got = f"{len(unfit)} of {len(rows)} boxes wrong as {card.box_format}; {fitting[best]} of them fit as {best}"
    wanted = f"boxes in {card.box_format}"
    fix = f"are the columns {best}? set box_format in {CARD}"
    severity: Severity = "critical" if fitting[best] > len(rows) / 2 else "warning"
    return [of_file(f"read_as_{best}", source, got=got, wanted=wanted, fix=fix, severity=severity)]


def _given(rows: Table, card: Card) -> Array:
    return rows[list(FORMATS[card.box_format])].to_numpy(dtype=np.float64)


def _fit(rows: Table, card: Card, boxes_xyxy: Array) -> NDArray[np.bool_]:
    """Return which boxes [N, 4], in the card's unit, have an area and lie within their images."""
    size = rows[["image_width", "image_height"]].to_numpy(dtype=np.float64)
    limit = np.ones_like(size) if card.box_units == "unit" else size
    low, high = boxes_xyxy[:, :2], boxes_xyxy[:, 2:]
    inside: NDArray[np.bool_] = (low >= 0) & (low < high) & (high <= limit)
    return inside[:, 0] & inside[:, 1]


def of_file(name: str, file: str, *, got: str, wanted: str, fix: str, severity: Severity = "critical") -> Finding:
    """Return a finding about the annotations as a whole."""
    return Finding(file, None, "", name, severity, got, wanted, fix)


def without_echoes(found: list[Finding]) -> Iterator[Finding]:
    """Yield the findings but those that repeat a worse one: outside when negative, small when empty."""
    negative = {(one.row, one.column) for one in found if one.rule == "value_negative"}
    empty = {one.row for one in found if one.rule == "corner_order"}
    for one in found:
        too_far = one.rule == "outside_image" and (one.row, one.column) in negative
        too_small = one.rule == "small_box" and one.row in empty
        if not (too_far or too_small):
            yield one
