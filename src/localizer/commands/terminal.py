"""Printing lines: styled and wrapped with their indent on a terminal; plain and never wrapped anywhere else."""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from localizer.findings import Line

if TYPE_CHECKING:
    from rich.padding import Padding

STYLES = {"critical": "bold red", "warning": "bold yellow", "fix": "bold green"}


def show(lines: Iterable[Line | str]) -> None:
    """Print the lines on standard output, with an empty one before each block of findings.

    Text, which may be a command to copy, is wrapped by the terminal alone.
    """
    console = None
    if sys.stdout.isatty():
        from rich.console import Console

        console = Console(highlight=False)
    for line in lines:
        is_first = isinstance(line, Line) and line.mark in ("critical", "warning")
        if is_first:
            print()
        if console is None or isinstance(line, str):
            print(line)
        else:
            console.print(_styled(line, indent=0 if is_first else 2))


def _styled(line: Line, *, indent: int) -> "Padding":
    from rich.padding import Padding
    from rich.text import Text

    styles = (STYLES.get(line.mark, ""), "bold", "")
    text = Text(": ").join(Text(part, style) for part, style in zip(line, styles, strict=True) if part)
    return Padding(text, (0, 0, 0, indent), expand=False)
