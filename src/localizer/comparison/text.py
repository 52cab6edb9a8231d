"""A comparison as text: tables for a terminal, and GitHub's Markdown."""

import re
from collections.abc import Iterator, Sequence
from textwrap import fill

from tabulate import tabulate

from localizer.comparison.groups import Comparison
from localizer.comparison.sections import Section, sections
from localizer.findings import printable

WIDTH = 100  # of a terminal, in letters
ABREAST = 3  # groups whose values stand side by side there


def terminal(comparison: Comparison) -> str:
    """Return the sections as text of WIDTH, without what would steer a terminal."""
    return "\n\n".join(_in_terminal(one) for one in sections(comparison)) + "\n"


def markdown(comparison: Comparison) -> str:
    """Return the sections as GitHub's Markdown, in which no name is taken for markup."""
    return "\n\n".join(["## Comparison", *map(_in_markdown, sections(comparison))]) + "\n"


def escaped(text: str) -> str:
    """Return the text as Markdown shows it letter by letter, in a table's cell, too."""
    plain = printable(text).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_{}\[\]>~|#@])", r"\\\1", plain)


def _in_terminal(section: Section) -> str:
    parts = [section.title.upper()]
    for columns in _portions(section):
        rows = [[printable(row[column]) for column in columns] for row in section.rows]
        header = [section.header[column] for column in columns]
        parts.append(tabulate(rows, header, "simple", disable_numparse=True, maxcolwidths=_widest(header, rows)))
    return "\n".join([*parts, *(fill(printable(note), WIDTH) for note in section.notes)])


def _portions(section: Section) -> Iterator[list[int]]:
    """Yield which columns stand side by side; none without rows."""
    others = range(1, len(section.header))
    step = ABREAST if section.beside else len(section.header)
    for start in range(0, len(others) if section.rows else 0, step):
        yield [0, *others[start : start + step]]


def _widest(header: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Return after how many letters a cell must be broken for the table to fit."""
    columns = zip([f"{name}  " for name in header], *rows, strict=True)  # tabulate keeps two spaces beside a header
    widths = [max(map(len, column)) for column in columns]
    room = WIDTH - 2 * (len(widths) - 1)
    return next(widest for widest in range(WIDTH, 0, -1) if sum(min(widest, one) for one in widths) <= room)


def _in_markdown(section: Section) -> str:
    rows = [[escaped(cell) for cell in row] for row in section.rows]
    parts = [f"### {escaped(section.title)}"]
    parts += [tabulate(rows, section.header, "github", disable_numparse=True)] if rows else []
    return "\n\n".join([*parts, *map(escaped, section.notes)])
