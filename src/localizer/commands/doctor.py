"""`localizer doctor`: what is installed, which device is used, and whether the pipeline can run here.

Each row is ok, a warning, or a problem that stops the pipeline; what isn't ok has a fix. The exit status is 1 if there
is a problem, else 0. The output can be part of a bug report as it is: an address is shown without user, password, path
and query, and the home folder as `~`.
"""

import os
import re
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from localizer.commands import terminal
from localizer.findings import count_of, printable

if TYPE_CHECKING:
    from localizer.commands.diagnosis.check import Check

STYLES = terminal.STYLES | {"ok": "green", "problem": terminal.STYLES["critical"]}


@dataclass(frozen=True)
class Options:
    """None."""


def run(options: Options) -> int:
    """Show versions, device, caches and where runs go, and whether the pipeline can run here.

    Example: localizer doctor
    """
    from localizer.commands.diagnosis.checkout import find_checkout

    states = []
    for name, check in diagnose(find_checkout(Path.cwd())):
        _show(name, check)
        states.append(check.state)
    problems, warnings = states.count("problem"), states.count("warning")
    verdict = "the pipeline can't run here" if problems else "nothing stops the pipeline"
    print(f"{verdict}: {count_of(problems, 'problem')}, {count_of(warnings, 'warning')}")
    return 1 if problems else 0


def diagnose(root: Path | None) -> "Iterator[tuple[str, Check]]":
    """Yield name and check of each row: this machine, then the checkout at `root`. One that fails is a warning."""
    from localizer.commands.diagnosis import checkout, machine
    from localizer.commands.diagnosis.check import Check

    of_checkout = checkout.CHECKS if root else checkout.OUTSIDE
    checks = machine.CHECKS | {name: partial(check, root or Path.cwd()) for name, check in of_checkout.items()}
    for name, check in checks.items():
        try:
            yield name, check()
        except Exception as error:  # whatever it is, the other rows help to explain it
            yield (
                name,
                Check("warning", f"unknown: {_reason(error)}", "the other rows first; if they are ok, report this one"),
            )


def _reason(error: Exception) -> str:
    """Return what failed, and where; the message only of errors whose message has nothing of a file's content."""
    if isinstance(error, ImportError | OSError):
        return str(error)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"


def _show(name: str, check: "Check") -> None:
    """Print a row, in colors on a terminal, which wraps it: a copy of it has no line breaks."""
    from rich.console import Console
    from rich.text import Text

    rows = [Text.assemble((f"{check.state:9}", STYLES[check.state]), (f"{name:11}", "bold"), _clean(check.found))]
    if check.fix:
        rows.append(Text.assemble(" " * 20, ("fix: ", STYLES["fix"]), _clean(check.fix)))
    if sys.stdout and sys.stdout.isatty():
        Console(highlight=False, soft_wrap=True).print(*rows, sep="\n")
    else:
        print(*(row.plain for row in rows), sep="\n")


def _clean(text: str) -> str:
    """Return the text on one line and encodable, without credentials in addresses, the home folder as `~`."""
    text = re.sub(r"(?<=://)\S*@", "", printable(text))
    text = re.sub(r"(://[^\s?#]*)[?#]\S*", r"\1", text)
    home = os.path.expanduser("~")  # noqa: PTH111 -- of a user without a home it is `~`, where Path raises
    for folder in {home, os.path.realpath(home)} - {"/", "~"}:
        text = re.sub(rf"{re.escape(folder)}(?![\w.-])", "~", text)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"  # None: it is closed
    return text.encode(encoding, "backslashreplace").decode(encoding)
