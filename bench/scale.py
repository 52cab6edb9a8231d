"""How prepare, validate and split grow with the number of rows, without images: `python bench/scale.py`.

A CSV of sound rows, one an image, is made for each size; then each step runs in a process of its own, as the
stages do, but without MLflow: it reads the tables of the step before and writes its own. Printed for each:
wall and CPU seconds with imports, peak memory, and how much of the time Great Expectations took.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from localizer.data.card import Card, CsvColumns
from localizer.data.tables import EDGES, read_table, write_table

SIZES = [1_000, 10_000, 100_000, 1_000_000]
BOX = ["xmin", "ymin", "xmax", "ymax"]
CARD = Card(
    title="rows without images",
    format="csv",
    annotations="boxes.csv",
    images="images",
    columns=CsvColumns(image="image", label="label", box=BOX, width="width", height="height"),
)
FRACTIONS = {"train": 0.7, "validation": 0.1, "calibration": 0.1, "test": 0.1}


@dataclass(frozen=True)
class Measured:
    """One step on one size; `asked_s` is the time within Great Expectations."""

    rows: int
    step: str
    wall_s: float
    cpu_s: float
    peak_mib: float
    asked_s: float


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES)
    parser.add_argument("--json", type=Path, help="write the measurements there, too")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps(STEPS[options.step](Path.cwd())))
        return
    measured = [one for rows in options.rows for one in measure(rows)]
    show(measured)
    if options.json:
        options.json.write_text(json.dumps([asdict(one) for one in measured], indent=2) + "\n", encoding="utf-8")


def measure(rows: int) -> list[Measured]:
    """Return what each step takes on `rows` rows."""
    with tempfile.TemporaryDirectory() as folder:
        write_rows(Path(folder, "boxes.csv"), rows)
        return [_run(step, rows, Path(folder)) for step in STEPS]


def write_rows(path: Path, rows: int) -> None:
    """Write a CSV of sound boxes, one an image of 640 x 480."""
    rng = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        file.write(",".join(["image", "label", *BOX, "width", "height"]) + "\n")
        for row in range(rows):
            left, top, wide, high = rng.randint(0, 500), rng.randint(0, 300), rng.randint(40, 130), rng.randint(40, 150)
            box = f"{left},{top},{left + wide},{top + high}"
            file.write(f"{row // 1000:04d}/{row:07d}.jpg,{'cat' if row % 3 else 'dog'},{box},640,480\n")


def _run(step: str, rows: int, folder: Path) -> Measured:
    command = [sys.executable, str(Path(__file__).absolute()), "--step", step]
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    asked_s = float(json.loads(process.communicate()[0] or "0"))
    return _measured(step, rows, wall_s=time.perf_counter() - start, asked_s=asked_s, folder=folder)


def _measured(step: str, rows: int, *, wall_s: float, asked_s: float, folder: Path) -> Measured:
    usage = json.loads((folder / "usage.json").read_text(encoding="utf-8"))
    return Measured(rows, step, round(wall_s, 2), usage["cpu_s"], usage["peak_mib"], round(asked_s, 2))


def prepare(folder: Path) -> float:
    """Read the CSV and write the canonical tables."""
    from localizer.data.inspection import Subject, read_tables

    tables = read_tables(Subject("rows", CARD, Path("boxes.csv"), None))
    for name in ("boxes", "images", "columns"):
        write_table(getattr(tables, name), folder / f"{name}.csv")
    return _leave(folder, 0.0)


def validate(folder: Path) -> float:
    """Judge the tables, write the clean one and the Data Docs; return the seconds within Great Expectations."""
    from localizer.data import expectations

    examine, spent = expectations.examine, []

    def timed(*arguments: object, **named: object) -> object:
        start = time.perf_counter()
        failures = examine(*arguments, **named)  # type: ignore[arg-type]
        spent.append(time.perf_counter() - start)
        return failures

    expectations.examine = timed  # type: ignore[assignment]
    columns = read_table(folder / "columns.csv")
    tables = [read_table(folder / f"{name}.csv") for name in ("boxes", "images")]
    told = {"columns": columns, "image_size": 64, "docs": folder / "data_docs"}
    verdict = expectations.validate(tables.pop(0), tables.pop(0), CARD, **told)
    write_table(verdict.clean, folder / "clean.csv")
    return _leave(folder, sum(spent))


def split(folder: Path) -> float:
    """Give the clean rows their sides."""
    from localizer.data import splitting
    from localizer.data.duplicates import cluster_images

    images = read_table(folder / "clean.csv", numbers=["width", "height", *EDGES])
    cluster = cluster_images(images).names
    side = splitting.split_by_hash(cluster, fractions=FRACTIONS, seed=0)
    splitting.check_whole(cluster, side)
    write_table(images.assign(cluster=cluster, side=side, box_share=splitting.box_share(images)), folder / "split.csv")
    return _leave(folder, 0.0)


def _leave(folder: Path, asked_s: float) -> float:
    """Write down what this process has used; RuntimeError if torch was imported on the way."""
    import resource

    if "torch" in sys.modules:
        raise RuntimeError("torch was imported")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    usage = {"cpu_s": round(sum(os.times()[:2]), 2), "peak_mib": round(peak)}
    (folder / "usage.json").write_text(json.dumps(usage), encoding="utf-8")
    return asked_s


def show(measured: list[Measured]) -> None:
    """Print the measurements as a table."""
    print(f"{'rows':>9}  {'step':9} {'wall s':>7} {'CPU s':>7} {'peak MiB':>9}  Great Expectations")
    for one in measured:
        share = f"{one.asked_s:6.2f} s, {one.asked_s / one.wall_s:.0%}" if one.asked_s else ""
        print(f"{one.rows:9,}  {one.step:9} {one.wall_s:7.2f} {one.cpu_s:7.2f} {one.peak_mib:9.0f}  {share}")
    for rows in sorted({one.rows for one in measured}):
        print(f"{rows:9,}  together  {sum(one.wall_s for one in measured if one.rows == rows):7.2f}")


STEPS = {"prepare": prepare, "validate": validate, "split": split}

if __name__ == "__main__":
    main()
