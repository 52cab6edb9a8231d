"""The verdict as Markdown: what to do first, every row that is wrong, and pictures of the worst."""

import html
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from localizer.dataset import DatasetConfig
from localizer.findings import Finding, Severity, printable
from localizer.validation.drift import Comparison
from localizer.validation.result import Verdict

MOST_CRITICAL, MOST_WARNINGS, MOST_MOVED = 500, 50, 50  # rows of a table; findings.csv has them all


def summary(
    verdict: Verdict,
    card: DatasetConfig,
    *,
    name: str,
    pictures: Sequence[tuple[str, Finding]] = (),
    drift: Comparison | None = None,
) -> str:
    """Return the summary of a data set; `pictures` are paths, relative to it, each with the finding it shows."""
    sections = [_head(verdict, card, name), _of_file(verdict), _by_rule(verdict.findings), _drift(drift)]
    sections += [
        _pictures(pictures, card),
        _rows("Critical findings", _of_rows(verdict, "critical"), most=MOST_CRITICAL),
    ]
    sections += [_rows("Warnings", _of_rows(verdict, "warning"), most=MOST_WARNINGS)]
    return "\n\n".join(section for section in sections if section) + "\n"


def unreadable(findings: Iterable[Finding], *, name: str) -> str:
    """Return the summary of a file that could not be read as its format."""
    found = list(findings)
    head = f"# {_text(name)}: can't be read\n\nNothing else was checked. First mend what stops the reading:"
    return f"{head}\n\n{_table(found[:MOST_CRITICAL])}{_more(found, MOST_CRITICAL)}\n"


def _head(verdict: Verdict, card: DatasetConfig, name: str) -> str:
    state = "passed" if verdict.passed else "stopped"
    counts = verdict.metrics()
    line = f"# {_text(name)}: {state}, {_count(counts['critical'], 'critical finding')}, "
    lines = [line + _count(counts["warnings"], "warning"), ""]
    lines += ["| " + " | ".join(name.replace("_", " ") for name in counts) + " |", "|" + "---:|" * len(counts)]
    lines += ["| " + " | ".join(str(value) for value in counts.values()) + " |", ""]
    lines.append(f"Read as {reading(card)}; {_policy(card)}")
    return "\n".join(lines)


def reading(card: DatasetConfig) -> str:
    """Return how the card reads boxes, as part of a sentence."""
    label = f"the boxes labelled `{_code(card.label)}`" if card.label else "boxes of every label"
    units = f"pixels counted from {card.box_origin}" if card.box_units == "pixel" else "shares of the image"
    return f"{card.format}: {label}, {card.box_format} in {units}"


def _policy(card: DatasetConfig) -> str:
    if card.on_bad_row == "fail":
        return "a critical finding stops."
    return f"bad rows are set aside, up to {card.max_bad_fraction:.2%} of all."


def _of_file(verdict: Verdict) -> str:
    """Return the findings about the whole file, which often explain those of its rows."""
    whole = [finding for finding in verdict.findings if finding.is_of_file()]
    if not whole:
        return ""
    whole.sort(key=lambda finding: finding.severity)
    return "\n".join(["## The file as a whole", "", *(_bullet(finding) for finding in whole)])


def _bullet(finding: Finding) -> str:
    told = f"got {_text(finding.got)}; expected {_text(finding.expected)}"
    return f"- **{finding.rule}** ({finding.severity}), `{_code(finding.place())}`: {told}. **{_text(finding.fix)}**"


def _by_rule(findings: Sequence[Finding]) -> str:
    of_rows = [finding for finding in findings if not finding.is_of_file()]
    counts = Counter((finding.severity, finding.rule) for finding in of_rows)
    if not counts:
        return ""
    first = {finding.rule: finding for finding in reversed(of_rows)}
    lines = ["## By rule", "", "| rule | severity | findings | what to do (of the first) |", "|---|---|---:|---|"]
    for (severity, rule), count in sorted(counts.items(), key=lambda item: (item[0][0], -item[1], item[0][1])):
        lines.append(f"| {rule} | {severity} | {count} | {_text(first[rule].fix)} |")
    return "\n".join(lines)


def _of_rows(verdict: Verdict, severity: Severity) -> list[Finding]:
    return [one for one in verdict.findings if one.severity == severity and not one.is_of_file()]


def _rows(title: str, found: list[Finding], *, most: int) -> str:
    if not found:
        return ""
    return f"## {title}: {len(found)}\n\n{_table(found[:most])}{_more(found, most)}"


def _table(found: Iterable[Finding]) -> str:
    lines = ["| where | rule | got | expected | what to do |", "|---|---|---|---|---|"]
    for one in found:
        told = " | ".join(_text(text) for text in (one.rule, one.got, one.expected, one.fix))
        lines.append(f"| `{_code(one.place())}` | {told} |")
    return "\n".join(lines)


def _more(found: Sequence[Finding], most: int) -> str:
    return f"\n\nand {len(found) - most} more: see findings.csv" if len(found) > most else ""


def _pictures(pictures: Sequence[tuple[str, Finding]], card: DatasetConfig) -> str:
    if not card.show_images:
        return "## The worst, as pictures\n\nNot shown: the card says `show_images: false`."
    if not pictures:
        return ""
    lines = ["## The worst, as pictures", "", "| box as read | what is wrong |", "|---|---|"]
    for path, one in pictures:
        told = f"`{_code(_place(one))}` {one.rule}<br>got {_text(one.got)}<br>expected {_text(one.expected)}"
        lines.append(f"| ![{one.rule}]({path}) | {told}<br>**{_text(one.fix)}** |")
    return "\n".join(lines)


def _place(finding: Finding) -> str:
    place = finding.line or finding.column  # in a JSON file, the element
    return finding.file.rsplit("/", 1)[-1] + (f":{place}" if place else "")


def _drift(comparison: Comparison | None) -> str:
    if comparison is None:
        return ""
    counts = ", ".join(f"{comparison.count(change)} {change}" for change in ("added", "removed", "moved"))
    lines = [f"## Against the accepted file: {counts}", ""]
    lines.append(f"{comparison.before} rows before, {comparison.after} now.")
    lines.append(
        f"Labels are {comparison.labels:.3f} away from before, sizes {comparison.sizes:.3f} (0: alike, 1: apart)."
    )
    shown = comparison.rows.sort_values("iou", na_position="last", kind="stable").head(MOST_MOVED)
    if len(shown):
        lines += ["", "| change | image | label | line before | line now | IoU |", "|---|---|---|---:|---:|---:|"]
        lines += list(_changes(shown.itertuples()))
    if len(comparison.rows) > len(shown):
        lines += ["", f"and {len(comparison.rows) - len(shown)} more"]
    return "\n".join(lines)


def _changes(rows: Iterable[tuple[Any, ...]]) -> Iterator[str]:
    for _, *values, iou in rows:
        cells = ["" if pd.isna(value) else _text(value) for value in values]
        yield f"| {' | '.join(cells)} | {'' if pd.isna(iou) else f'{iou:.4f}'} |"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _text(value: object) -> str:
    """Return text that Markdown and HTML show as it is, on one line of a table."""
    plain = printable(str(value))
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", html.escape(plain, quote=False))


def _code(value: str) -> str:
    """Return text that stands between backticks in a table."""
    plain = printable(value)
    # A backslash before a pipe is doubled, or the two would be an escaped backslash and the end of a cell.
    return re.sub(r"(\\*)\|", r"\1\1\\|", plain.replace("`", "'"))


def in_short(verdict: Verdict, *, shown: int, summary: Path, findings: Path) -> str:
    """Return what the terminal gets: the counts in a line, or the worst findings and where the rest is."""
    counts = f"{verdict.count('critical')} critical findings, {verdict.count('warning')} warnings"
    if verdict.passed:
        clean = f"{len(verdict.clean)} clean images of {verdict.images}, {len(verdict.quarantine)} rows set aside"
        return f"validate: {clean}; {counts}: see {findings}"
    worst = "\n".join(str(finding) for finding in verdict.worst(shown))
    return f"{worst}\nvalidate: failed with {counts}; what to do: {summary}; all findings: {findings}"
