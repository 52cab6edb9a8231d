"""CPU contention: threads of a training that wait for a core, and the number of threads that would be faster.

The threads share each operation's work evenly, so that all wait for one that has no core.
"""

import math
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

import torch
from tqdm import tqdm

from localizer.training.launch import cores

TASKS = Path("/proc/self/task")  # of Linux: a folder for each thread of this process
INTERVAL_S = 20.0
WAITING = 0.4  # threads without a core, on average over an interval, from which on there is a warning


@contextmanager
def warn_of_contention(device: torch.device, *, processes: int) -> Iterator[None]:
    """Print a warning, once, if in the block threads wait for cores; on a CPU, under Linux, which counts the time.

    processes: that train on this machine.
    """
    if device.type != "cpu":
        yield
        return
    ended, available = Event(), max(1, cores() // processes)
    watch = Thread(target=_watch, args=(ended, torch.get_num_threads(), available), daemon=True)
    watch.start()
    try:
        yield
    finally:
        ended.set()
        watch.join()


def contention_warning(waiting: float, *, threads: int, available: int) -> str:
    """Return the warning if on average `waiting` of the threads have no core; empty if few, or if one is the fewest.

    available: number of cores for the process.
    """
    running = max(0.0, threads - waiting)
    faster = max(1, math.floor(running))
    if waiting < WAITING or faster >= threads:
        return ""
    cause = "other work runs, too" if threads <= available else f"there are more of them than cores ({available})"
    return (
        f"WARNING: {threads} threads get the time of {running:.1f} cores, since {cause}: train.threads: {faster} "
        "would be faster now; it gives other weights, the same each time"
    )


def waiting_threads(before: Mapping[int, float], after: Mapping[int, float], *, seconds: float) -> float:
    """Return how many threads were without a core, on average over the seconds between two `waited_seconds`."""
    return sum(waited - before.get(thread, 0.0) for thread, waited in after.items()) / seconds


def waited_seconds() -> dict[int, float]:
    """Return how long each thread of this process was ready to run without a core, by its id; empty if unknown."""
    waited = {}
    for path in TASKS.glob("*/schedstat"):
        with suppress(OSError):  # the thread has ended
            waited[int(path.parent.name)] = int(path.read_text(encoding="ascii").split()[1]) / 1e9
    return waited


def _watch(ended: Event, threads: int, available: int) -> None:
    waited, started = waited_seconds(), time.perf_counter()
    while not ended.wait(INTERVAL_S):
        before, waited, since, started = waited, waited_seconds(), started, time.perf_counter()
        waiting = waiting_threads(before, waited, seconds=started - since)
        if warning := contention_warning(waiting, threads=threads, available=available):
            tqdm.write(f"train: {warning}")
            sys.stdout.flush()
            return
