"""What failed, told to a person: one finding for each row, image, column or file, with what to do."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from localizer.data.finding import Finding, Severity
from localizer.data.rules import Failure, Rule, name_some
from localizer.data.tables import Table


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


def without_echoes(found: list[Finding]) -> Iterator[Finding]:
    """Yield the findings but those that repeat a worse one: outside when negative, small when empty, odd when wrong."""
    negative = {(one.row, one.column) for one in found if one.rule == "value_negative"}
    empty = {one.row for one in found if one.rule == "corner_order"}
    wrong = {one.row for one in found if one.rule in ("corner_order", "outside_image", "value_negative", "small_box")}
    for one in found:
        too_far = one.rule == "outside_image" and (one.row, one.column) in negative
        too_small = one.rule == "small_box" and one.row in empty
        too_odd = one.rule.startswith("outlier_") and one.row in wrong
        if not (too_far or too_small or too_odd):
            yield one


def _finding(rule: Rule, known: Mapping[Any, Any], *, severity: Severity) -> Finding:
    return Finding(
        file=known["file"],
        line=int(known["line"]) if known["line"] else None,
        column=_column(rule, known),
        rule=rule.name,
        severity=severity,
        got=rule.got.format_map(known),
        wanted=rule.wanted.format_map(known),
        fix=rule.fix.format_map(known),
        row=known["row"] if rule.scope == "row" else None,
        image=known["image"] if rule.scope == "image" else None,
    )


def _column(rule: Rule, known: Mapping[Any, Any]) -> str:
    """Return the column, or the element of a JSON file that the value is in."""
    if rule.scope == "column":
        return str(known["column"])
    return ".".join(part for part in (known.get("element", ""), rule.column) if part)
