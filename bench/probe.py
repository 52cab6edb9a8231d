"""Measures probing against a bare loop that only reads and decodes, in the same number of threads.

python -m bench.probe --images 10000 [--folder DIR] [--rounds 3] [--json PATH]
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from PIL import Image

from bench.kept import commit
from localizer.probing.metadata import probe_images

SIZE = (640, 480)
QUALITY = 85


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch, "images")
        if options.folder is None:
            make_images(folder, options.images)
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        result = measure(folder, paths, rounds=options.rounds, cache=Path(scratch, "cache"))
    print(told(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def make_images(folder: Path, count: int) -> None:
    """Write that many different JPEGs of SIZE: crops, at many scales, of the two photographs in scikit-learn."""
    from sklearn.datasets import load_sample_images

    folder.mkdir(parents=True)
    photos = [Image.fromarray(photo) for photo in load_sample_images().images]
    for index in range(count):
        rng = np.random.default_rng(index)
        photo = photos[index % len(photos)]
        width, height = (int(side * rng.uniform(0.4, 1)) for side in photo.size)
        left, top = rng.integers(photo.width - width + 1), rng.integers(photo.height - height + 1)
        crop = photo.crop((int(left), int(top), int(left) + width, int(top) + height)).resize(SIZE)
        crop.save(folder / f"{index:06d}.jpg", quality=QUALITY)


def measure(folder: Path, paths: list[Path], *, rounds: int, cache: Path) -> dict[str, Any]:
    """Return wall and CPU seconds of each round: the bare loop, probing, and probing with a full cache take turns.

    CPU seconds are of all threads: they tell the work, whatever else the machine does meanwhile.
    """
    bare(paths)  # so that the first round, too, finds the files in memory
    probe_images(folder, [], cache=cache)
    tasks: dict[str, Callable[[], object]] = {
        "bare": lambda: bare(paths),
        "probe": lambda: probe_images(folder, []),
        "cached": lambda: probe_images(folder, [], cache=cache),
    }
    rows = [{name: timed(task) for name, task in tasks.items()} for _ in range(rounds)]
    result: dict[str, Any] = {
        "images": len(paths),
        "bytes": sum(path.stat().st_size for path in paths),
        "cpus": os.cpu_count(),
        "commit": commit(),
        "python": platform.python_version(),
        "pillow": PIL.__version__,
    }
    for place, kind in enumerate(("wall", "cpu")):
        seconds = {name: [row[name][place] for row in rows] for name in tasks}
        result[kind] = {"seconds": seconds} | {name: summed(seconds, name, len(paths)) for name in tasks}
    return result


def summed(seconds: dict[str, list[float]], name: str, images: int) -> dict[str, float]:
    """Return the medians over the rounds of a task: seconds, images a second, and times the bare loop's seconds."""
    ratios = [one / bare for one, bare in zip(seconds[name], seconds["bare"], strict=True)]
    median = statistics.median(seconds[name])
    return {"median": median, "images_per_second": images / median, "ratio_to_bare": statistics.median(ratios)}


def bare(paths: list[Path]) -> None:
    """Read and decode the images, in as many threads as probing takes, and keep nothing."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(_load, paths):
            pass


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return the wall and the CPU seconds that the work takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def told(result: dict[str, Any]) -> str:
    """Return the medians as a table for the terminal."""
    lines = [f"{result['images']} images, {result['bytes'] / 1e6:.0f} MB, {result['cpus']} CPUs; medians:"]
    for name in ("bare", "probe", "cached"):
        wall, cpu = result["wall"][name], result["cpu"][name]
        lines.append(
            f"{name:7} {wall['median']:8.2f} s {wall['images_per_second']:8.0f} images/s "
            f"{wall['ratio_to_bare']:6.2f} x the bare loop ({cpu['ratio_to_bare']:.2f} x its CPU time)"
        )
    return "\n".join(lines)


def _load(path: Path) -> None:
    with Image.open(BytesIO(path.read_bytes())) as image:
        image.load()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000, metavar="N", help="how many to make")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="images that are there already")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write the numbers there")
    return parser.parse_args()


if __name__ == "__main__":
    main()
