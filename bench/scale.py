"""How prepare, validate and split grow with the number of rows, without images: `python -m bench.scale`.

A CSV, one box an image, is made for each size; then each step runs in a process of its own, as the stages do but
without MLflow: it reads the tables of the step before and writes its own, reports included. Printed for each:
wall and CPU seconds with imports, peak memory, and the share of Great Expectations: importing it, asking it, and
its Data Docs. `--wrong` reads the boxes in a format that most of them do not fit, so that there is a finding or more
a row, and stops after validate.
"""

import argparse
import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.kept import commit
from localizer.boxes import BoxFormat
from localizer.dataset import CsvColumns, Dataset, DatasetConfig
from localizer.tables import EDGES, read_table, write_table

SIZES = [1_000, 10_000, 100_000, 1_000_000]
BOX = ["xmin", "ymin", "xmax", "ymax"]
FRACTIONS = {"train": 0.7, "validation": 0.1, "calibration": 0.1, "test": 0.1}


@dataclass(frozen=True)
class Measured:
    """One step on one size; `asked_s` is the time that Great Expectations took."""

    rows: int
    step: str
    wall_s: float
    cpu_s: float
    peak_mib: int
    asked_s: float


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES)
    parser.add_argument("--wrong", action="store_true", help="boxes of another format than the card's")
    parser.add_argument("--json", type=Path, help="write the measurements there, too")
    parser.add_argument("--step", nargs=2, metavar=("STEP", "DIR"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        name, folder = options.step
        print(json.dumps(run_step(name, Path(folder), wrong=options.wrong)))
        return
    measured = [one for rows in options.rows for one in measure(rows, wrong=options.wrong)]
    show(measured)
    if options.json:
        told = {"commit": commit(), "machine": f"{os.cpu_count()} x {platform.machine()}", "command": sys.argv}
        text = json.dumps(told | {"measured": [asdict(one) for one in measured]}, indent=2)
        options.json.write_text(text + "\n", encoding="utf-8")


def measure(rows: int, *, wrong: bool) -> list[Measured]:
    """Return what each step takes on `rows` rows; RuntimeError if one fails."""
    steps = ("prepare", "validate") if wrong else ("prepare", "validate", "split")
    with tempfile.TemporaryDirectory() as folder:
        write_rows(Path(folder, "boxes.csv"), rows)
        return [_start(step, rows, folder, wrong=wrong) for step in steps]


def write_rows(path: Path, rows: int) -> None:
    """Write a CSV of sound xyxy boxes, one an image of 640 x 480."""
    rng = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        file.write(",".join(["image", "label", *BOX, "width", "height"]) + "\n")
        for row in range(rows):
            left, top, wide, high = rng.randint(0, 500), rng.randint(0, 300), rng.randint(40, 130), rng.randint(40, 150)
            box = f"{left},{top},{left + wide},{top + high}"
            file.write(f"{row // 1000:04d}/{row:07d}.jpg,{'cat' if row % 3 else 'dog'},{box},640,480\n")


def _start(step: str, rows: int, folder: str, *, wrong: bool) -> Measured:
    command = [sys.executable, "-m", "bench.scale", "--step", step, folder, *(["--wrong"] if wrong else [])]
    start = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise RuntimeError(f"{step} failed on {rows} rows")
    return Measured(rows, step, round(time.perf_counter() - start, 2), **json.loads(done.stdout))


def run_step(step: str, folder: Path, *, wrong: bool) -> dict[str, Any]:
    """Run one step in this process; return its CPU seconds, peak memory and seconds of Great Expectations."""
    asked_s = {"prepare": prepare, "validate": validate, "split": split}[step](folder, card(wrong=wrong))
    if "torch" in sys.modules:
        raise RuntimeError("torch was imported")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {"cpu_s": round(sum(os.times()[:2]), 2), "peak_mib": peak, "asked_s": round(asked_s, 2)}


def card(*, wrong: bool) -> DatasetConfig:
    """Return the card of the rows, or one that reads them in another format."""
    columns = CsvColumns(image="image", label="label", box=BOX, width="width", height="height")
    box_format: BoxFormat = "xywh" if wrong else "xyxy"
    return DatasetConfig(
        title="rows", format="csv", annotations="boxes.csv", images="images", columns=columns, box_format=box_format
    )


def prepare(folder: Path, card: DatasetConfig) -> float:
    """Read the CSV and write the canonical tables."""
    from localizer.datasets.prepare import read_tables

    tables = read_tables(Dataset(card, folder / "boxes.csv", None))
    for name in ("boxes", "images", "columns"):
        write_table(getattr(tables, name), folder / f"{name}.csv")
    return 0.0


def validate(folder: Path, card: DatasetConfig) -> float:
    """Check the tables and write all reports and the clean table; return the seconds of Great Expectations."""
    start = time.perf_counter()
    import great_expectations as gx

    spent = [time.perf_counter() - start]
    from localizer.datasets.prepare import Tables
    from localizer.validation.result import write_reports
    from localizer.validation.summary import render_summary
    from localizer.validation.validate import validate

    for kind, method in ((gx.ValidationDefinition, "run"), (gx.data_context.EphemeralDataContext, "build_data_docs")):
        _time(kind, method, spent)
    result = validate(
        Tables(read_table(folder / "boxes.csv"), read_table(folder / "images.csv"), read_table(folder / "columns.csv")),
        card,
        image_size=64,
        docs=folder / "data_docs",
    )
    paths = {name: folder / f"{name}.csv" for name in ("findings", "quarantine", "metrics")}
    write_reports(result, **paths)
    (folder / "summary.md").write_text(render_summary(result, card, name="rows"), encoding="utf-8")
    write_table(result.clean, folder / "clean.csv")
    return sum(spent)


def _time(kind: type, method: str, spent: list[float]) -> None:
    """Make a method add its seconds to a list."""
    plain = getattr(kind, method)

    def timed(*arguments: Any, **named: Any) -> Any:
        start = time.perf_counter()
        found = plain(*arguments, **named)
        spent.append(time.perf_counter() - start)
        return found

    setattr(kind, method, timed)


def split(folder: Path, card: DatasetConfig) -> float:
    """Assign the clean rows to splits, and write the report."""
    from localizer.probing.duplicates import cluster_images
    from localizer.splitting import assignment, report

    clean = read_table(folder / "clean.csv", numbers=["width", "height", *EDGES])
    clusters = cluster_images(clean)
    split = assignment.split_by_hash(clusters.names, fractions=FRACTIONS, seed=0)
    assignment.check_clusters(clusters.names, split)
    images = clean.assign(cluster=clusters.names, split=split, box_share=assignment.box_share(clean))
    differences = report.measure_differences(images)
    warnings = report.split_warnings(images, differences, FRACTIONS)
    table = report.cluster_table(images, clusters.links)
    text = report.render_report(report.split_metrics(images, differences, warnings), table, warnings, sheets=None)
    (folder / "report.md").write_text(text, encoding="utf-8")
    write_table(images, folder / "split.csv")
    return 0.0


def show(measured: list[Measured]) -> None:
    """Print the measurements as a table."""
    print(f"{'rows':>9}  {'step':9} {'wall s':>7} {'CPU s':>7} {'peak MiB':>9}  Great Expectations")
    for one in measured:
        share = f"{one.asked_s:6.2f} s, {one.asked_s / one.wall_s:.0%}" if one.asked_s else ""
        print(f"{one.rows:9,}  {one.step:9} {one.wall_s:7.2f} {one.cpu_s:7.2f} {one.peak_mib:9,}  {share}")
    for rows in sorted({one.rows for one in measured}):
        print(f"{rows:9,}  together  {sum(one.wall_s for one in measured if one.rows == rows):7.2f}")


if __name__ == "__main__":
    main()
