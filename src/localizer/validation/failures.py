"""From rows that fail a rule to findings: one per row, image, column or file, with a fix."""

from collections.abc import Iterable, Iterator, Mapping
from string import Formatter
from typing import Any

import pandas as pd

from localizer.findings import Finding, count_of
from localizer.tables import Table
from localizer.validation.rules.rule import Failure, Rule, abbreviate

COMMON = {"file", "line", "element", "column", "row", "image", "checked"}  # columns that every finding needs


def to_findings(table: Table, failures: Iterable[Failure], *, source: str) -> Iterator[Finding]:
    """Yield the findings of a table; `source`: the file or folder that rules of scope `file` are about."""
    for rule, positions in failures:
        rows = table.iloc[list(positions)]
        if rule.scope == "file":
            texts = {"first": abbreviate(list(rows["image"]))}
            texts |= {"images": count_of(len(rows), "image"), "boxes": count_of(len(rows), "box")}
            yield _finding(rule, texts | {"file": source, "line": "", "checked": True})
        else:
            reported = rows[rows[rule.only_where]] if rule.only_where else rows
            yield from (_finding(rule, row) for row in _records(reported, rule))


def drop_consequences(findings: list[Finding]) -> list[Finding]:
    """Return the findings without those that follow from a worse one of the same row.

    A negative value is outside the image; an empty box is small, and so is each box in [0, 1] read as pixels; a
    wrong box is an outlier.
    """
    negative = {(finding.row, finding.column) for finding in findings if finding.rule == "value_negative"}
    empty = {finding.row for finding in findings if finding.rule == "corner_order"}
    wrong = {"corner_order", "outside_image", "value_negative", "small_box"}
    wrong_rows = {finding.row for finding in findings if finding.rule in wrong}
    in_shares = any(finding.rule == "unit_coordinates" for finding in findings)

    def follows(finding: Finding) -> bool:
        if finding.rule == "outside_image":
            return (finding.row, finding.column) in negative
        if finding.rule == "small_box":
            return in_shares or finding.row in empty
        return finding.rule.startswith("outlier_") and finding.row in wrong_rows

    return [finding for finding in findings if not follows(finding)]


def _records(rows: Table, rule: Rule) -> Iterator[Mapping[Any, Any]]:
    """Yield the columns that a finding needs, and no more: each of a million rows may fail."""
    fields = {name for text in (rule.expected, rule.got, rule.fix) for _, name, _, _ in Formatter().parse(text) if name}
    columns = [name for name in rows.columns if name in fields | COMMON]
    for values in zip(*(rows[name].tolist() for name in columns), strict=True):
        yield dict(zip(columns, values, strict=True))


def _finding(rule: Rule, row: Mapping[Any, Any]) -> Finding:
    """Return the finding on a row; one on a row or image that is not of the task is a warning."""
    # In a JSON file the element of the value precedes the column's name.
    column = row["column"] if rule.scope == "column" else ".".join(filter(None, (row.get("element"), rule.column)))
    return Finding(
        file=row["file"],
        line=None if pd.isna(row["line"]) or row["line"] == "" else int(row["line"]),
        column=column,
        rule=rule.name,
        severity=rule.severity if row["checked"] else "warning",
        got=rule.got.format_map(row),
        expected=rule.expected.format_map(row),
        fix=rule.fix.format_map(row),
        row=row["row"] if rule.scope == "row" else None,
        image=row["image"] if rule.scope == "image" else None,
    )
