"""Timing in turn: what is compared runs one after the other, round by round, so that a busy machine slows both."""

import json
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]


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


def commit() -> str:
    told = subprocess.run(
        ["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True, check=True
    )
    return told.stdout.strip()


def show(rows: Sequence[Row]) -> None:
    """Print the rows as a table."""
    print(f"\n{'what':34} {'ratio':>7} {'from':>7} {'to':>7}  unit")
    for one in rows:
        numbers = (one.ratio, one.low, one.high)
        told = " ".join("not run" if number is None else f"{number:7.3f}" for number in numbers)
        print(f"{one.name:34} {told}  {one.unit}, {one.device}{'; ' if one.note else ''}{one.note}")


def write(rows: Sequence[Row], path: Path) -> None:
    """Write the rows as JSON, a list."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps([asdict(one) for one in rows], indent=1) + "\n", encoding="utf-8")
