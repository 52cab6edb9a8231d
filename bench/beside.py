"""How fast training is beside other work, by its number of threads: `python -m bench.beside`, some four minutes.

Steps of ResNet-50 at 64 px, batch 32, in the default precision, alone and beside busy loops, with each number of
threads in turn, round by round. Told are the median of the rounds, the lowest and the highest rate; the share of the
processor time that the threads ask for which they get; the threads that wait for a core, on average, by which the stage
warns (localizer.training.contention); and the cores that the machine's other work takes meanwhile, which should be 0.
On a shared machine, `--wait MINUTES` measures when there is a moment without other work, and again if some began.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import torch

from bench import kept
from bench.works import PARAMS, batch_of, state
from localizer.device import choose_device, set_deterministic
from localizer.training.contention import waited_seconds, waiting_threads
from localizer.training.launch import cores
from localizer.training.loop import train_step
from localizer.verification.certificate import cpu_name

NAME = "beside"
LOOPS = (0, 1, 3)
LOOP = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: sum(range(10**6))"
OTHER = 0.25  # cores that other work may take, with --wait
BESIDE = {0: "nothing", 1: "a busy loop", 3: "three busy loops"}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6, help="of each measurement, but at least one step")
    parser.add_argument("--wait", type=float, default=0, help="minutes in all for moments without other work")
    options = parser.parse_args()
    until = time.monotonic() + 60 * options.wait
    set_deterministic(PARAMS.deterministic)
    work, found = step(), dict[tuple[int, int], list[dict[str, float]]]()
    for number in range(options.rounds):
        for loops in LOOPS:
            for threads in sorted({1, cores()}, reverse=bool(number % 2)):
                one = measure_apart(work, loops, threads=threads, seconds=options.seconds, until=until)
                found.setdefault((loops, threads), []).append(one)
                print(f"beside {BESIDE[loops]}, {threads} threads: {one}", flush=True)
    kept.write(kept.RESULTS / f"{NAME}.json", [row(*setting, rounds) for setting, rounds in sorted(found.items())])
    show()


def step() -> Callable[[], object]:
    """Return what makes a step on a batch that lies ready."""
    device = choose_device("cpu")
    made, how = state(device, images=PARAMS.batch_size, batch=PARAMS.batch_size)
    pixels, boxes = batch_of(PARAMS.batch_size, PARAMS.image_size, device)
    ready = pixels.float() / 255
    return lambda: train_step(made, ready, boxes, config=how)


@contextmanager
def busy(loops: int) -> Iterator[list[psutil.Process]]:
    """Run so many endless loops during the block, and end these, by their own handles."""
    started = [subprocess.Popen([sys.executable, "-c", LOOP]) for _ in range(loops)]
    try:
        time.sleep(0.2 if loops else 0)  # for their start
        yield [psutil.Process(process.pid) for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()


def measure_apart(
    work: Callable[[], object], loops: int, *, threads: int, seconds: float, until: float
) -> dict[str, float]:
    """Measure beside so many loops while other work takes at most OTHER cores, or when the time is up."""
    while True:
        while time.monotonic() < until and other_work(seconds=1) > OTHER:
            time.sleep(1)
        with busy(loops) as processes:
            found = measure(work, processes, threads=threads, seconds=seconds)
        if found["other"] <= OTHER or time.monotonic() >= until:
            return found


def other_work(*, seconds: float) -> float:
    """Return how many cores all other processes use."""
    (_, before), started = processor_seconds([]), time.perf_counter()
    time.sleep(seconds)
    return (processor_seconds([])[1] - before) / (time.perf_counter() - started)


def measure(
    work: Callable[[], object], loops: list[psutil.Process], *, threads: int, seconds: float
) -> dict[str, float]:
    """Return the rate of the work with so many threads, and who had the processor meanwhile."""
    torch.set_num_threads(threads)
    work()
    waited, used, started, steps = waited_seconds(), processor_seconds(loops), time.perf_counter(), 0
    while time.perf_counter() < started + seconds:
        work()
        steps += 1
    took_s = time.perf_counter() - started
    ours, machine = (now - before for now, before in zip(processor_seconds(loops), used, strict=True))
    return {
        "images_per_s": round(steps * PARAMS.batch_size / took_s, 1),
        "share": round(ours / took_s / threads, 3),
        "waiting": round(waiting_threads(waited, waited_seconds(), seconds=took_s), 2),
        "other": round(max(0.0, machine - ours) / took_s, 2),
    }


def processor_seconds(loops: list[psutil.Process]) -> tuple[float, float]:
    """Return the processor time that this process has used, and all but the loops."""
    times = psutil.cpu_times()
    machine = sum(getattr(times, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq"))
    return time.process_time(), machine - sum(sum(loop.cpu_times()[:2]) for loop in loops)


def row(loops: int, threads: int, rounds: list[dict[str, float]]) -> dict[str, Any]:
    """Return the medians of the rounds, and the range of the rate."""
    median = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    rates = [one["images_per_s"] for one in rounds]
    device = f"{cpu_name()}, {cores()} cores"
    return {"loops": loops, "threads": threads, **median, "low": min(rates), "high": max(rates)} | {
        "rounds": len(rounds),
        "commit": kept.commit(),
        "device": device,
    }


def show() -> None:
    """Print the kept rows as a Markdown table."""
    print("\n| beside | threads | images/s | range | share of processor time | threads that wait | other work, cores |")
    print("|---|---|---|---|---|---|---|")
    for one in kept.rows(NAME):
        print(
            f"| {BESIDE[one['loops']]} | {one['threads']} | {one['images_per_s']:.1f} | {one['low']:.1f} to "
            f"{one['high']:.1f} | {one['share']:.0%} | {one['waiting']:.2f} | {one['other']:.2f} |"
        )


if __name__ == "__main__":
    main()
