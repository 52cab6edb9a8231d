"""The outcome of validating one data set, as text: the verdict, a block for each rule, and what to do next."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from localizer.datasets.element_lines import with_lines
from localizer.findings import SHOWN, Finding, Line, blocks, group_by_rule


@dataclass(frozen=True)
class Outcome:
    """What is reported of one data set: `verdict` is a line, `summary` is Markdown.

    reports: the folder with findings.csv, if it was asked for. detected: a line for each detected value of the
    encoding.
    """

    name: str
    findings: Sequence[Finding]
    passed: bool
    verdict: str
    summary: str
    reports: Path | None
    detected: Sequence[str] = ()

    def lines(self) -> Iterator[Line | str]:
        """Yield the verdict, a block for each rule, and where the rest is.

        The places that are shown have the lines of JSON elements, too, so that editors can follow them.
        """
        groups = group_by_rule(self.findings)
        shown = [finding for group in groups for finding in group.findings[:SHOWN]]
        with_place = dict(zip(shown, with_lines(shown), strict=True))
        yield self.verdict
        placed = (with_place.get(finding, finding) for finding in self.findings)
        yield from blocks(placed, rest=str(self.reports / "findings.csv") if self.reports else "")
        if self.reports:
            yield ""
            yield f"with fixes and thumbnails: {self.reports / 'summary.md'}"
        elif len(shown) < len(self.findings):
            yield ""
            yield "all of them, with thumbnails: add --reports DIR"


class Reading(Protocol):
    """Options that say how annotations are read: `ReadingOptions`, with the folder of images."""

    @property
    def images(self) -> Path | None: ...
    def as_typed(self) -> list[str]: ...


def init_command(annotations: Path, reading: Reading) -> Iterator[str]:
    """Yield the command that makes a data set of files that were validated."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", annotations.resolve().stem).strip("-_.") or "mine"
    words = ["localizer", "init", name, "--annotations", str(annotations)]
    yield ""
    yield "To make it a data set for training:"
    yield f"  {shlex.join([*words, '--images', str(reading.images or 'DIR'), *reading.as_typed()])}"
