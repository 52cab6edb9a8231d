"""A comparison as tables for a terminal, as GitHub's Markdown, and as JSON."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from textwrap import fill
from typing import Any

from tabulate import tabulate

from localizer.comparison.differences import Comparison, PairedDifference
from localizer.comparison.gate import slice_gains
from localizer.comparison.groups import SEED_PARAMS, Result, differing_params
from localizer.comparison.sections import Section, sections
from localizer.findings import printable

WIDTH = 100  # of a terminal, in characters
ABREAST = 3  # groups whose columns fit side by side there


def terminal(comparison: Comparison) -> str:
    """Return the sections as text of WIDTH, with control characters escaped."""
    return "\n\n".join(_terminal_section(section) for section in sections(comparison)) + "\n"


def markdown(comparison: Comparison, *, warnings: Sequence[str] = ()) -> str:
    """Return warnings and sections as GitHub's Markdown, with markup in names escaped."""
    paragraphs = [f"**WARNING:** {escaped(warning)}" for warning in warnings]
    paragraphs += [_markdown_section(section) for section in sections(comparison)]
    return "\n\n".join(["## Comparison", *paragraphs]) + "\n"


def escaped(text: str) -> str:
    """Return the text with Markdown's markup escaped, also within a table's cell."""
    plain = printable(text).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_{}\[\]>~|#@])", r"\\\1", plain)


def json_object(comparison: Comparison) -> dict[str, Any]:
    """Return the object that `localizer compare --json` prints."""
    groups, params = comparison.groups, differing_params(comparison.groups.values())
    return {
        "groups": [
            {"letter": letter, "results": [_json_result(result) for result in group.results]}
            for letter, group in groups.items()
        ],
        "params": {name: dict(zip(groups, values, strict=True)) for name, values in params.items()},
        "differences": [
            {"letter": letter, **_json_difference(difference)} for letter, difference in comparison.differences.items()
        ],
    }


def _json_result(result: Result) -> dict[str, Any]:
    return {
        "name": result.name,
        "commit": result.commit or None,
        "dirty": result.dirty,
        "stale": result.stale or None,
        "seeds": dict(zip(SEED_PARAMS, result.seeds, strict=True)),
        "metrics": dict(result.metrics),
    }


def _json_difference(difference: PairedDifference | str) -> dict[str, Any]:
    if isinstance(difference, str):
        keys = ("verdict", "gain", "seeds", "images", "clusters", "left_out", "slices")
        return {"reason": difference} | dict.fromkeys(keys)
    return {
        "reason": None,
        "verdict": difference.outcome,
        "gain": asdict(difference.gain),
        "seeds": difference.is_over_seeds,
        "images": len(difference.images),
        "clusters": difference.independent,
        "left_out": difference.left_out,
        "slices": slice_gains(difference),
    }


def _terminal_section(section: Section) -> str:
    parts = [section.title.upper()]
    for columns in _column_blocks(section):
        rows = [[printable(row[column]) for column in columns] for row in section.rows]
        header = [section.header[column] for column in columns]
        widths = _max_cell_width(header, rows)
        parts.append(tabulate(rows, header, "simple", disable_numparse=True, maxcolwidths=widths))
    return "\n".join([*parts, *(fill(printable(note), WIDTH) for note in section.notes)])


def _column_blocks(section: Section) -> Iterator[list[int]]:
    """Yield the columns of each table that fits side by side; none without rows."""
    others = range(1, len(section.header))
    step = ABREAST if section.columns_are_groups else len(section.header)
    for start in range(0, len(others) if section.rows else 0, step):
        yield [0, *others[start : start + step]]


def _max_cell_width(header: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Return the cell width, in characters, at which the table fits into WIDTH."""
    columns = zip([f"{name}  " for name in header], *rows, strict=True)  # tabulate keeps two spaces beside a header
    widths = [max(map(len, column)) for column in columns]
    available = WIDTH - 2 * (len(widths) - 1)
    return next(limit for limit in range(WIDTH, 0, -1) if sum(min(limit, width) for width in widths) <= available)


def _markdown_section(section: Section) -> str:
    rows = [[escaped(cell) for cell in row] for row in section.rows]
    table = [tabulate(rows, section.header, "github", disable_numparse=True)] if rows else []
    return "\n\n".join([f"### {escaped(section.title)}", *table, *map(escaped, section.notes)])
