"""Labels that look like typos: equal but for case or blanks, or rare and similar to a frequent one."""

from collections.abc import Iterator
from difflib import get_close_matches

from localizer.dataset import DatasetConfig
from localizer.findings import Finding, count_of, warning
from localizer.tables import Table

RARE = 0.05  # of the frequent label's rows
SIMILAR = 0.8  # difflib's ratio: 1 is equal
MAX_LABELS = 1000  # more than this are descriptions, not classes


def check_labels(boxes: Table, config: DatasetConfig, *, source: str) -> Iterator[Finding]:
    """Yield a warning for each label that seems to be a typo of a more frequent one."""
    counts = boxes["label"].value_counts()
    names = [str(name) for name in counts.index]
    for position, name in enumerate(names if len(names) <= MAX_LABELS else ()):
        more_frequent = names[:position]
        meant = _meant(name, more_frequent, [other for other in more_frequent if counts[name] <= RARE * counts[other]])
        if meant is not None:
            got = f"{count_of(counts[name], 'row')} labeled {name!r}, and {counts[meant]} labeled {meant!r}"
            got += ", the task's: the former are ignored" if config.label == meant else ""
            fix = f"nothing, if they differ; else write {meant!r}"
            yield warning(source, "label_alike", expected="one spelling of a label", got=got, fix=fix)


def _meant(name: str, more_frequent: list[str], much_more_frequent: list[str]) -> str | None:
    """Return which more frequent label a name seems to mean, if any."""
    plain = {other: _plain(other) for other in more_frequent}
    equal = [other for other in more_frequent if plain[other] == _plain(name)]
    similar = get_close_matches(_plain(name), [plain[other] for other in much_more_frequent], n=1, cutoff=SIMILAR)
    similar_names = [other for other in much_more_frequent if plain[other] in similar]
    return next(iter(equal + similar_names), None)


def _plain(label: str) -> str:
    return " ".join(label.casefold().split())
