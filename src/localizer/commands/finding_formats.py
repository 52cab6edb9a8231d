"""Findings as JSON, and as GitHub's workflow commands, which annotate the lines of a pull request."""

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from localizer.datasets.element_lines import with_lines
from localizer.findings import COLUMNS, SHOWN, Finding, group_by_rule, printable
from localizer.probing.file_names import as_utf8

MOST_ANNOTATIONS = 10  # errors, and as many warnings, that GitHub shows of a step
COMMANDS = {"critical": "error", "warning": "warning"}
ESCAPES = {"%": "%25", "\r": "%0D", "\n": "%0A"}  # of workflow commands
PROPERTY_ESCAPES = ESCAPES | {":": "%3A", ",": "%2C"}


def as_json(findings: Sequence[Finding]) -> str:
    """Return a JSON array of objects with COLUMNS; a lone surrogate of a file's name is the escape for it."""
    objects = [{name: getattr(finding, name) for name in COLUMNS} for finding in findings]
    return as_utf8("[" + ",\n ".join(json.dumps(row, ensure_ascii=False) for row in objects) + "]\n")


def as_github(findings: Sequence[Finding], *, root: Path) -> str:
    """Return workflow commands for the first places of each rule, as many as GitHub shows; critical ones first.

    The last one of a rule says how many more there are. root: see `path_below`.
    """
    groups = group_by_rule(findings)
    rules = Counter(group.first.severity for group in groups)
    shown: list[Finding] = []
    rest: list[int] = []  # for each shown finding, how many of its rule are left out after it
    for group in groups:
        places = group.findings[: max(1, min(SHOWN, MOST_ANNOTATIONS // rules[group.first.severity]))]
        shown += places
        rest += [*[0] * (len(places) - 1), len(group.findings) - len(places)]
    commands = zip(with_lines(shown), rest, strict=True)
    return "".join(_command(finding, more, root) for finding, more in commands)


def _command(finding: Finding, more: int, root: Path) -> str:
    properties = {"file": as_utf8(path_below(root, finding.file)), "line": finding.line or "", "title": finding.rule}
    text = ",".join(f"{name}={_escaped(str(value), PROPERTY_ESCAPES)}" for name, value in properties.items() if value)
    message = f"{finding} (and {more} more of this rule)" if more else str(finding)
    return f"::{COMMANDS[finding.severity]} {text}::{_escaped(message, ESCAPES)}\n"


def _escaped(text: str, escapes: dict[str, str]) -> str:
    return "".join(escapes.get(char, char) for char in text)


def no_commands(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines for the log of a workflow, which may contain names of files, so that none of them is a command."""
    for line in lines:
        yield re.sub(r"^(\s*):(?=:)", r"\1%3A", printable(line)).replace("##[", "##%5B")  # the second is deprecated


def repository_root() -> Path:
    """Return the folder of the repository around the working directory; without one the latter."""
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), here)


def path_below(root: Path, file: str) -> str:
    """Return a path relative to `root`, the repository's; absolute where it is elsewhere."""
    path = os.path.abspath(file)  # noqa: PTH100 -- Path.resolve follows links, and git knows the path of the link
    relative = os.path.relpath(path, root)
    return path if Path(relative).parts[:1] == ("..",) else relative
