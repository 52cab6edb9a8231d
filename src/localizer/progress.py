"""A progress bar on standard error, where that is a terminal."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def with_progress(items: Iterable[Item], *, total: int, description: str) -> Iterator[Item]:
    """Yield the items; meanwhile a bar shows how many of `total` are done, their speed, and how long the rest takes.

    description: what the items are, as `images`.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    class Speed(ProgressColumn):
        def render(self, task: Task) -> str:
            return f"{task.speed:.3g} {description}/s" if task.speed else ""

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), Speed(), Remaining())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield from progress.track(items, total=total, description=description)
