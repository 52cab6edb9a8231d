"""Findings: what is wrong with a data set, and the error for a file that cannot be read."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Severity = Literal["critical", "warning"]

COLUMNS = ("file", "line", "column", "rule", "severity", "got", "expected", "fix")  # the columns of findings.csv
SHOWN = 3  # places of one rule that are printed


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


class Line(NamedTuple):
    """A line of a block of findings; `mark` is the severity, `fix`, or empty."""

    mark: str
    subject: str
    text: str

    def __str__(self) -> str:
        """Return the line as it is printed; all but the first of a block are indented."""
        indent = "" if self.mark in ("critical", "warning") else "  "
        return indent + ": ".join(filter(None, self))


@dataclass(frozen=True)
class FindingGroup:
    """All findings of one rule and severity, in their order; at least one."""

    findings: tuple[Finding, ...]

    @property
    def first(self) -> Finding:
        return self.findings[0]

    def lines(self, *, shown: int = SHOWN, rest: str = "") -> Iterator[Line]:
        """Yield the block of a rule: its count, the first places, how many more there are, and the first one's fix.

        rest: where all findings are listed, for example findings.csv.
        """
        one_expected = len({finding.expected for finding in self.findings}) == 1
        count = count_of(len(self.findings), "finding")
        yield Line(self.first.severity, f"{self.first.rule}, {count}", f"expected {self.first.expected}" * one_expected)
        for finding in self.findings[:shown]:
            text = f"got {finding.got}" if one_expected else f"expected {finding.expected}, got {finding.got}"
            yield Line("", printable(finding.place()), text)
        if len(self.findings) > shown:
            yield Line("", f"and {len(self.findings) - shown} more", rest)
        yield Line("fix", "", self.first.fix)


class BadFileError(ValueError):
    """Annotations that cannot be read as their format; `findings` has every problem of the file."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        single = len(findings) == 1
        super().__init__("\n".join([str(findings[0])] if single else map(str, blocks(findings))))
        self.findings = tuple(findings)


def group_by_rule(findings: Iterable[Finding]) -> list[FindingGroup]:
    """Return the findings by severity and rule: critical ones first, those of the whole file, then the frequent."""
    groups: dict[tuple[Severity, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.severity, finding.rule), []).append(finding)
    rank = {key: (key[0], not found[0].is_of_file(), -len(found), key[1]) for key, found in groups.items()}
    return [FindingGroup(tuple(groups[key])) for key in sorted(groups, key=rank.__getitem__)]


def blocks(findings: Iterable[Finding], *, shown: int = SHOWN, rest: str = "") -> Iterator[Line]:
    """Yield the lines of all rules' blocks: see `group_by_rule`, `FindingGroup.lines`."""
    for group in group_by_rule(findings):
        for line in group.lines(shown=shown, rest=rest):
            yield Line(line.mark, line.subject, printable(line.text))


def count_of(number: int, noun: str) -> str:
    """Return a number with its noun: `1 finding`, `2 findings`, `2 boxes`."""
    return f"{number} {noun}" + ("" if number == 1 else "es" if noun.endswith("x") else "s")


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
