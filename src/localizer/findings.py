"""One thing that is wrong with a data set, and the error that carries those of a file that can't be read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Severity = Literal["critical", "warning"]

COLUMNS = ("file", "line", "column", "rule", "severity", "got", "expected", "fix")  # the columns of findings.csv
SHOWN = 20  # findings that one message lists


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: where, what was got, what was expected, what to do.

    row: the row's position in the table of boxes. image: the image's name, where the finding is about that.
    """

    file: str
    line: int | None
    column: str
    rule: str
    severity: Severity
    got: str
    expected: str
    fix: str
    row: int | None = None
    image: str | None = None

    def __str__(self) -> str:
        """Return the finding on one line."""
        return printable(f"{self.place()}: {self.rule}: expected {self.expected}, got {self.got}; {self.fix}")

    def place(self) -> str:
        """Return file:line:column, as far as they are known."""
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part not in (None, ""))

    def is_of_file(self) -> bool:
        """Return whether the finding is about the annotations as a whole."""
        return self.row is None and self.image is None


class BadFileError(ValueError):
    """Annotations that can't be read as their format: `findings` are all the faults of file and schema."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        more = [f"and {len(findings) - SHOWN} more"] if len(findings) > SHOWN else []
        super().__init__("\n".join([*map(str, findings[:SHOWN]), *more]))
        self.findings = tuple(findings)


def printable(text: str) -> str:
    """Return the text with what would break a line or steer a terminal escaped."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def critical(
    file: str, rule: str, *, got: str, expected: str, fix: str, line: int | None = None, column: str = ""
) -> Finding:
    """Return a critical finding about a file, one of its lines or its columns."""
    return Finding(file, line, column, rule, "critical", got, expected, fix)


def raise_if_any(findings: Sequence[Finding]) -> None:
    """Raise BadFileError if there is a finding."""
    if findings:
        raise BadFileError(findings)
