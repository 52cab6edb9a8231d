"""The result as text: Markdown with the fixes first, all bad rows, and thumbnails; and what the terminal prints."""

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from localizer.dataset import DatasetConfig
from localizer.findings import Finding, Severity, printable
from localizer.validation.drift import CHANGES, DriftReport
from localizer.validation.result import ValidationResult

MAX_CRITICAL, MAX_WARNINGS, MAX_MOVED = 500, 50, 50  # rows of a table; findings.csv has them all


def render_summary(
    result: ValidationResult,
    config: DatasetConfig,
    *,
    name: str,
    thumbnails: Sequence[tuple[str, Finding]] = (),
    drift: DriftReport | None = None,
) -> str:
    """Return the summary as Markdown; `thumbnails`: paths, relative to it, each with the finding that it shows."""
    of_file = [finding for finding in result.findings if finding.is_of_file()]
    others = [finding for finding in result.findings if not finding.is_of_file()]
    sections = [
        _head(result, config, name),
        _file_findings(of_file),
        _rules(others),
        _drift(drift),
        _thumbnails(thumbnails, config),
        _rows("Critical findings", _of(others, "critical"), most=MAX_CRITICAL),
        _rows("Warnings", _of(others, "warning"), most=MAX_WARNINGS),
    ]
    return "\n\n".join(filter(None, sections)) + "\n"


def render_unreadable(findings: Sequence[Finding], *, name: str) -> str:
    """Return the summary of annotations that can't be read as their format."""
    head = f"# {_text(name)}: can't be read\n\nNothing else was checked. Fix these parse errors first:"
    return f"{head}\n\n{_rows('', findings, most=MAX_CRITICAL)}\n"


def render_terminal(result: ValidationResult, *, shown: int, summary: Path, findings: Path) -> str:
    """Return the counts on one line; if validation failed, after the most important findings."""
    counts = f"{result.count('critical')} critical findings, {result.count('warning')} warnings"
    if result.passed:
        clean = f"{len(result.clean)} clean images of {result.images}, {len(result.quarantine)} rows set aside"
        return f"validate: {clean}; {counts}: see {findings}"
    lines = [*map(str, result.ranked()[:shown]), f"validate: failed with {counts}; fixes: {summary}; all: {findings}"]
    return "\n".join(lines)


def describe_encoding(config: DatasetConfig) -> str:
    """Return how boxes are read, as part of a sentence."""
    label = f"the boxes labeled `{_code(config.label)}`" if config.label else "boxes of every label"
    shares = {"unit": "fractions of the image", "percent": "per cent of the image", "thousandth": "thousandths of it"}
    units = shares.get(config.box_units, f"pixels counted from {config.box_origin}")
    return f"{config.format}: {label}, {config.box_format} in {units}"


def group_by_rule(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Return the findings by severity and rule: critical rules first, then by number of findings."""
    groups: dict[tuple[Severity, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.severity, finding.rule), []).append(finding)
    return [groups[key] for key in sorted(groups, key=lambda key: (key[0], -len(groups[key]), key[1]))]


def _head(result: ValidationResult, config: DatasetConfig, name: str) -> str:
    counts = result.metrics()
    findings = f"{_count(counts['critical'], 'critical finding')}, {_count(counts['warnings'], 'warning')}"
    policy = "a critical finding stops."
    if config.on_bad_row != "fail":
        policy = f"bad rows are set aside, up to {config.max_bad_fraction:.2%} of all, or one."
    header = [key.replace("_", " ") for key in counts]
    table = _table(header, [map(str, counts.values())], right=header)
    title = f"# {_text(name)}: {'passed' if result.passed else 'stopped'}, {findings}"
    return f"{title}\n\n{table}\n\nRead as {describe_encoding(config)}; {policy}"


def _file_findings(findings: list[Finding]) -> str:
    """Return the findings about the whole file, which often explain those of its rows."""
    lines = ["## The whole file", ""]
    for finding in sorted(findings, key=lambda finding: finding.severity):
        texts = f"expected {_text(finding.expected)}, got {_text(finding.got)}. **{_text(finding.fix)}**"
        lines.append(f"- **{finding.rule}** ({finding.severity}), `{_code(finding.place())}`: {texts}")
    return "\n".join(lines) if findings else ""


def _rules(findings: Sequence[Finding]) -> str:
    groups = [(group[0], len(group)) for group in group_by_rule(findings)]
    rows = [(first.rule, first.severity, str(count), _text(first.fix)) for first, count in groups]
    table = _table(["rule", "severity", "findings", "fix (of the first)"], rows, right=["findings"])
    return f"## By rule\n\n{table}" if rows else ""


def _of(findings: Iterable[Finding], severity: Severity) -> list[Finding]:
    return [finding for finding in findings if finding.severity == severity]


def _rows(title: str, findings: Sequence[Finding], *, most: int) -> str:
    if not findings:
        return ""
    heading = f"## {title}: {len(findings)}\n\n" if title else ""
    rows = [
        (f"`{_code(finding.place())}`", *map(_text, (finding.rule, finding.expected, finding.got, finding.fix)))
        for finding in findings[:most]
    ]
    more = f"\n\nand {len(findings) - most} more: see findings.csv" if len(findings) > most else ""
    return heading + _table(["where", "rule", "expected", "got", "fix"], rows) + more


def _thumbnails(thumbnails: Sequence[tuple[str, Finding]], config: DatasetConfig) -> str:
    heading = "## Thumbnails of the worst\n\n"
    if not config.show_images:
        return f"{heading}Not shown: dataset.yaml has `show_images: false`."
    rows = []
    for path, finding in thumbnails:
        line = finding.line or finding.column  # in a JSON file, the element
        place = finding.file.rsplit("/", 1)[-1] + (f":{line}" if line else "")
        texts = f"expected {_text(finding.expected)}<br>got {_text(finding.got)}<br>**{_text(finding.fix)}**"
        rows.append((f"![{finding.rule}]({path})", f"`{_code(place)}` {finding.rule}<br>{texts}"))
    return heading + _table(["box as read", "finding"], rows) if rows else ""


def _drift(drift: DriftReport | None) -> str:
    if drift is None:
        return ""
    counts = ", ".join(f"{drift.count(change)} {change}" for change in CHANGES)
    distances = (
        f"Total variation distance of the labels {drift.labels:.3f}; Kolmogorov-Smirnov of box areas {drift.sizes:.3f}."
    )
    text = f"## Against the accepted file: {counts}\n\n{drift.before} rows before, {drift.after} now.\n{distances}"
    shown = drift.rows.sort_values("iou", na_position="last", kind="stable").head(MAX_MOVED)
    if len(shown):
        header = ["change", "image", "label", "line before", "line now", "IoU"]
        text += f"\n\n{_table(header, _changes(shown.itertuples(index=False)), right=header[3:])}"
    return text + (f"\n\nand {len(drift.rows) - len(shown)} more" if len(drift.rows) > len(shown) else "")


def _changes(rows: Iterable[tuple[Any, ...]]) -> Iterator[list[str]]:
    for *values, iou in rows:
        yield ["" if pd.isna(value) else _text(value) for value in values] + ["" if pd.isna(iou) else f"{iou:.4f}"]


def _table(header: Sequence[str], rows: Iterable[Iterable[str]], *, right: Sequence[str] = ()) -> str:
    """Return a Markdown table of cells that are Markdown; `right`: the columns aligned to the right."""
    separator = "|".join("---:" if name in right else "---" for name in header)
    return "\n".join([f"| {' | '.join(header)} |", f"|{separator}|", *(f"| {' | '.join(row)} |" for row in rows)])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _text(value: object) -> str:
    """Return text that Markdown and HTML show as it is, on one line of a table."""
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", html.escape(printable(str(value)), quote=False))


def _code(value: str) -> str:
    """Return text to stand between backticks in a table."""
    # A backslash before a pipe is doubled, or the two would be an escaped backslash and the end of a cell.
    return re.sub(r"(\\*)\|", r"\1\1\\|", printable(value).replace("`", "'"))
