"""Timing in turn: what is compared runs one after the other, round by round, so that a busy machine slows both."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from bench.kept import commit


@dataclass(frozen=True)
class Row:
    """A measured ratio: the median of the rounds, the lowest and the highest. `ratio` is None where not measured."""

    name: str
    ratio: float | None
    low: float | None
    high: float | None
    unit: str
    device: str
    commit: str
    rounds: int
    note: str = ""


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Return how long the work takes, until the device is done with it."""
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def in_turn(works: Mapping[str, Callable[[], object]], device: torch.device, *, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each work in each round; one round before that is not counted."""
    took: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name in list(works) if number % 2 else reversed(list(works)):
            took[name].append(seconds(works[name], device))
    return {name: times[1:] for name, times in took.items()}


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    return [one / other for one, other in zip(above, below, strict=True)]


def row(name: str, values: Sequence[float], *, unit: str, device: str, note: str = "") -> Row:
    """Return the row of a ratio that was measured in several rounds, or of one that wasn't: no values."""
    if not values:
        return Row(name, None, None, None, unit, device, commit(), 0, note)
    median, low, high = (round(value, 4) for value in (statistics.median(values), min(values), max(values)))
    return Row(name, median, low, high, unit, device, commit(), len(values), note)


def table(rows: Sequence[Row]) -> list[str]:
    """Return the lines of a Markdown table of the rows."""
    lines = ["| | ratio | range | |", "|---|---|---|---|"]
    for one in rows:
        numbers = "not run | " if one.ratio is None else f"**{one.ratio:.2f}** | {one.low:.2f} to {one.high:.2f}"
        told = "; ".join(part for part in (one.unit, one.device, one.note) if part)
        lines.append(f"| `{one.name}` | {numbers} | {told} |")
    return lines


def show(rows: Sequence[Row]) -> None:
    """Print the rows as a Markdown table."""
    print("", *table(rows), sep="\n")
