"""Labels that look like slips of the pen: alike but for case or blanks, or rare and nearly another."""

from collections.abc import Iterator
from difflib import get_close_matches

from localizer.dataset import DatasetConfig
from localizer.findings import Finding
from localizer.tables import Table
from localizer.validation.rules.encoding_checks import file_finding

RARE = 0.05  # of the frequent label's rows
NEAR = 0.8  # difflib's ratio: 1 is equal
MOST = 1000  # labels; more are no classes but descriptions


def label_doubts(rows: Table, card: DatasetConfig, *, source: str) -> Iterator[Finding]:
    """Yield a warning for each label that seems to mean another, more frequent one."""
    counts = rows["label"].value_counts()
    names = [str(name) for name in counts.index]
    for position, name in enumerate(names if len(names) <= MOST else ()):
        other = _meant(name, [one for one in names[:position] if counts[name] <= RARE * counts[one]], names[:position])
        if other is not None:
            got = f"{counts[name]} rows labelled {name!r}, beside {counts[other]} labelled {other!r}"
            if card.label == other:
                got += ", the task's: they are left out"
            expected, fix = "one spelling of a label", f"nothing, if they differ; else write {other!r}"
            yield file_finding("label_alike", source, got=got, expected=expected, fix=fix, severity="warning")


def _meant(name: str, frequent: list[str], others: list[str]) -> str | None:
    """Return which of the others, more frequent first, a label seems to mean; None if none."""
    alike = [other for other in others if _plain(other) == _plain(name)]
    near = get_close_matches(_plain(name), [_plain(other) for other in frequent], n=1, cutoff=NEAR)
    return alike[0] if alike else next((other for other in frequent if near and _plain(other) == near[0]), None)


def _plain(label: str) -> str:
    return " ".join(label.casefold().split())
