"""What failed, told to a person: one finding for each row, image, column or file, with what to do."""

from collections.abc import Iterable, Iterator, Mapping
from string import Formatter
from typing import Any

from localizer.findings import Finding, Severity
from localizer.tables import Table
from localizer.validation.rules.rule import Failure, Rule, name_some

ALWAYS = {"file", "line", "element", "column", "row", "image", "judged"}


def tell(table: Table, failures: Iterable[Failure], *, whole: str) -> Iterator[Finding]:
    """Yield the findings of a table's failures; `whole` is the file or folder that a file's rule is about."""
    for failure in failures:
        rule = failure.rule
        rows = table.iloc[list(failure.rows)]
        if rule.scope == "file":
            known = {"count": len(rows), "first": name_some(list(rows["image"])), "file": whole, "line": ""}
            yield _finding(rule, known, severity=rule.severity)
            continue
        for row in _records(rows[rows[rule.told]] if rule.told else rows, rule):
            yield _finding(rule, row, severity=rule.severity if row["judged"] else "warning")


def without_echoes(found: list[Finding]) -> Iterator[Finding]:
    """Yield the findings but those that repeat a worse one: outside when negative, small when empty, odd when wrong."""
    negative = {(one.row, one.column) for one in found if one.rule == "value_negative"}
    empty = {one.row for one in found if one.rule == "corner_order"}
    wrong = {one.row for one in found if one.rule in ("corner_order", "outside_image", "value_negative", "small_box")}
    in_shares = any(one.rule == "unit_coordinates" for one in found)
    for one in found:
        too_far = one.rule == "outside_image" and (one.row, one.column) in negative
        too_small = one.rule == "small_box" and (in_shares or one.row in empty)
        too_odd = one.rule.startswith("outlier_") and one.row in wrong
        if not (too_far or too_small or too_odd):
            yield one


def _records(rows: Table, rule: Rule) -> Iterator[Mapping[Any, Any]]:
    """Yield what a finding tells of each row, and no more: a file of a million rows may be wrong in each."""
    fields = {name for text in (rule.got, rule.expected, rule.fix) for _, name, _, _ in Formatter().parse(text) if name}
    expected = [name for name in rows.columns if name in fields | ALWAYS]
    columns = [rows[name].tolist() for name in expected]
    return (dict(zip(expected, values, strict=True)) for values in zip(*columns, strict=True))


def _finding(rule: Rule, known: Mapping[Any, Any], *, severity: Severity) -> Finding:
    return Finding(
        file=known["file"],
        line=int(known["line"]) if known["line"] else None,
        column=_column(rule, known),
        rule=rule.name,
        severity=severity,
        got=rule.got.format_map(known),
        expected=rule.expected.format_map(known),
        fix=rule.fix.format_map(known),
        row=known["row"] if rule.scope == "row" else None,
        image=known["image"] if rule.scope == "image" else None,
    )


def _column(rule: Rule, known: Mapping[Any, Any]) -> str:
    """Return the column, or the element of a JSON file that the value is in."""
    if rule.scope == "column":
        return str(known["column"])
    return ".".join(part for part in (known.get("element", ""), rule.column) if part)
