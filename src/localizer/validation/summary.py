"""The result as text: Markdown with a block a rule, and thumbnails; and what the terminal prints."""

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from localizer.dataset import DatasetConfig
from localizer.findings import SHOWN, Finding, FindingGroup, blocks, count_of, group_by_rule, printable
from localizer.validation.drift import CHANGES, DriftReport
from localizer.validation.result import ValidationResult

MAX_MOVED = 50  # rows of the table of drift


def render_summary(
    result: ValidationResult,
    config: DatasetConfig,
    *,
    name: str,
    thumbnails: Sequence[tuple[str, Finding]] = (),
    drift: DriftReport | None = None,
) -> str:
    """Return the summary as Markdown; `thumbnails`: paths, relative to it, each with the finding that it shows."""
    sections = [
        _head(result, config, name),
        *map(_block, group_by_rule(result.findings)),
        _drift(drift),
        _thumbnails(thumbnails, config),
    ]
    return "\n\n".join(filter(None, sections)) + "\n"


def render_unreadable(findings: Sequence[Finding], *, name: str) -> str:
    """Return the summary of annotations that can't be read as their format."""
    head = f"# {_text(name)}: can't be read\n\nNothing else was checked. Fix these parse errors first:"
    return "\n\n".join([head, *map(_block, group_by_rule(findings))]) + "\n"


def verdict(result: ValidationResult, *, name: str) -> str:
    """Return whether the data set passed, and its counts, on one line."""
    critical, warnings = result.count("critical"), result.count("warning")
    findings = f"{count_of(critical, 'critical finding')}, {count_of(warnings, 'warning')}"
    clean = f"{len(result.clean)} of {count_of(result.images, 'image')} clean"
    rows = f"{len(result.quarantine)} of {count_of(len(result.boxes), 'row')} set aside"
    return f"{name}: {'passed' if result.passed else 'failed'}: {findings}; {clean}, {rows}"


def render_terminal(result: ValidationResult, *, shown: int, summary: Path, findings: Path) -> str:
    """Return the verdict; if validation failed, with a block for each rule and its first places."""
    line = verdict(result, name="validate")
    if result.passed:
        return f"{line}; see {findings}"
    text = map(str, blocks(result.findings, shown=shown, rest=str(findings)))
    return "\n".join([line, *text, f"with thumbnails: {summary}"])


def describe_encoding(config: DatasetConfig) -> str:
    """Return how boxes are read, as part of a sentence."""
    label = f"the boxes labeled `{_code(config.label)}`" if config.label else "boxes of every label"
    shares = {"unit": "fractions of the image", "percent": "per cent of the image", "thousandth": "thousandths of it"}
    units = shares.get(config.box_units, f"pixels counted from {config.box_origin}")
    return f"{config.format}: {label}, {config.box_format} in {units}"


def _head(result: ValidationResult, config: DatasetConfig, name: str) -> str:
    counts = result.metrics()
    findings = f"{count_of(counts['critical'], 'critical finding')}, {count_of(counts['warnings'], 'warning')}"
    policy = "a critical finding stops."
    if config.on_bad_row != "fail":
        policy = f"bad rows are set aside, up to {config.max_bad_fraction:.2%} of all, or one."
    header = [key.replace("_", " ") for key in counts]
    table = _table(header, [map(str, counts.values())], right=header)
    title = f"# {_text(name)}: {'passed' if result.passed else 'stopped'}, {findings}"
    return f"{title}\n\n{table}\n\nRead as {describe_encoding(config)}; {policy}"


def _block(group: FindingGroup) -> str:
    """Return the section of a rule: its count, the first places, how many more there are, and the first one's fix."""
    first, count = group.first, len(group.findings)
    rows = [
        (f"`{_code(finding.place())}`", _text(finding.expected), _text(finding.got))
        for finding in group.findings[:SHOWN]
    ]
    more = f"\n\nand {count - SHOWN} more: see findings.csv" if count > SHOWN else ""
    heading = f"## {_text(first.rule)}: {count_of(count, 'finding')}, {first.severity}"
    return f"{heading}\n\n{_table(['where', 'expected', 'got'], rows)}{more}\n\nFix: **{_text(first.fix)}**"


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


def _text(value: object) -> str:
    """Return text that Markdown and HTML show as it is, on one line of a table."""
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", html.escape(printable(str(value)), quote=False))


def _code(value: str) -> str:
    """Return text to stand between backticks in a table."""
    # A backslash before a pipe is doubled, or the two would be an escaped backslash and the end of a cell.
    return re.sub(r"(\\*)\|", r"\1\1\\|", printable(value).replace("`", "'"))
