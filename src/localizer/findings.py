"""Findings: what is wrong with a data set, and the error for a file that cannot be read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Severity = Literal["critical", "warning"]

COLUMNS = ("file", "line", "column", "rule", "severity", "got", "expected", "fix")  # the columns of findings.csv
SHOWN = 20  # findings in one error message


@dataclass(frozen=True)
class Finding:
    """One problem of a data set: where, what was expected, what was found, what to do.

    row: position in the table of boxes; image: name; None if the finding is not about a row, or not about an image.
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
        """Return file:line:column, without what is unknown."""
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part not in (None, ""))

    def is_of_file(self) -> bool:
        """Return whether the finding is about the annotations as a whole."""
        return self.row is None and self.image is None


class BadFileError(ValueError):
    """Annotations that cannot be read as their format; `findings` has every problem of the file."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        more = [f"and {len(findings) - SHOWN} more"] if len(findings) > SHOWN else []
        super().__init__("\n".join([*map(str, findings[:SHOWN]), *more]))
        self.findings = tuple(findings)


def printable(text: str) -> str:
    """Return the text with line breaks and control characters escaped."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def warning(file: str, rule: str, *, got: str, expected: str, fix: str) -> Finding:
    """Return a warning about a file."""
    return Finding(file, None, "", rule, "warning", got, expected, fix)


def critical(
    file: str, rule: str, *, got: str, expected: str, fix: str, line: int | None = None, column: str = ""
) -> Finding:
    """Return a critical finding about a file, a line or a column."""
    return Finding(file, line, column, rule, "critical", got, expected, fix)


def bad_file(
    file: str, rule: str, *, got: str, expected: str, fix: str, line: int | None = None, column: str = ""
) -> BadFileError:
    """Return the error of a file with this one critical finding."""
    return BadFileError([critical(file, rule, got=got, expected=expected, fix=fix, line=line, column=column)])


def raise_if_any(findings: Sequence[Finding]) -> None:
    """Raise BadFileError if there are findings."""
    if findings:
        raise BadFileError(findings)
