"""Time and memory of evaluating many predictions: `python -m bench.judging`, half a minute.

Synthetic boxes are evaluated as in the stage: predictions table, metrics with intervals, slices, curve, likely label
errors and the report's plots. Then each part is timed, and all of it in turn with a plain bootstrap of one mean, a loop
over resamples in numpy, so that machines can be compared.
"""

import argparse
import json
import os
import platform
import resource
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from bench import turns
from bench.kept import commit
from localizer.boxes import Array, to_pixels
from localizer.calibration import Calibration, coverage_range
from localizer.evaluation.evaluate import evaluate
from localizer.evaluation.evaluated_model import predictions
from localizer.evaluation.intervals import RESAMPLES, mean
from localizer.evaluation.label_errors import label_errors
from localizer.evaluation.metrics import centre_box, constant_iou, curve, mean_box, summarize
from localizer.evaluation.report import ReportContext, TrainedModel, draw_plots
from localizer.evaluation.slices import slice_labels, slices
from localizer.model.localizer import Architecture
from localizer.model.saving import ModelCard
from localizer.tables import EDGES

IMAGES = 100_000
CPU = torch.device("cpu")
WIDTH, HEIGHT = 640, 480
CALIBRATION = Calibration(images=5000, margin=0.1, agreement=0.6)


@dataclass(frozen=True)
class TestSplit:
    """A test split as `split` writes it, its true boxes, and the boxes and agreements that a model gives."""

    images: pd.DataFrame
    true: Array
    pred: Array
    agreement: Array


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the measurements there, too")
    options = parser.parse_args()
    test = made(options.images)
    before_mib = peak_mib()
    first_s = turns.seconds(lambda: evaluate_all(test), CPU)  # with imports
    sizes = {"images": options.images, "first_s": round(first_s, 2), "peak_mib": peak_mib(), "before_mib": before_mib}
    parts_s = measured(test)
    row = against_bootstrap(test, rounds=options.rounds)
    show(sizes, parts_s)
    turns.show([row])
    if options.json:
        where = {"commit": commit(), "machine": f"{os.cpu_count()} x {platform.machine()}"}
        text = json.dumps(where | sizes | {"parts_s": parts_s, "ratio": asdict(row)}, indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")


def made(count: int) -> TestSplit:
    """Return so many images of two labels; nine in ten boxes are good, the others somewhere."""
    rng = np.random.default_rng(0)
    true, strange = _boxes(count, rng), _boxes(count, rng)
    near = true + rng.normal(0, 0.01, true.shape)
    pred = np.where(rng.random((count, 1)) < 0.9, near, strange)
    images = pd.DataFrame({"image": [f"{index:07d}.jpg" for index in range(count)], "split": "test"})
    images = images.assign(file="boxes.csv", line=np.arange(count) + 2, label=np.where(np.arange(count) % 3, "a", "b"))
    images[["width", "height"]] = WIDTH, HEIGHT
    images["cluster"] = images["sha256"] = images["image"]
    images[EDGES] = to_pixels(true, np.full(count, WIDTH), np.full(count, HEIGHT))
    return TestSplit(images, true, pred, rng.beta(8, 2, count))


def _boxes(count: int, rng: np.random.Generator) -> Array:
    centre, half = rng.uniform(0.25, 0.75, (count, 2)), rng.uniform(0.05, 0.25, (count, 2))
    return np.concatenate([centre - half, centre + half], axis=1)


def evaluate_all(test: TestSplit) -> None:
    """Do all that the stage does after prediction, except images and files."""
    found = evaluate(test.images, test.pred, test.agreement, train=test.true, calibration=CALIBRATION)
    found.metric_values()
    found.metrics_table()
    label_errors(found.images.join(test.images[["file", "line", "split"]]))
    draw_plots(found, context_of(test))


def parts(test: TestSplit) -> dict[str, Callable[[], object]]:
    """Return the parts of `evaluate_all`, by name."""
    found = evaluate(test.images, test.pred, test.agreement, train=test.true, calibration=CALIBRATION)
    images, iou, context = found.images, found.images["iou"].to_numpy(), context_of(test)
    clusters = images["cluster"].to_numpy()
    constants = [constant_iou(box(test.true), test.true) for box in (mean_box, centre_box)]
    return {
        "rows": lambda: predictions(test.images, test.pred, test.agreement, CALIBRATION),
        "metrics": lambda: summarize(images, clusters),
        "baselines": lambda: [(mean(constant), mean(iou - constant)) for constant in constants],
        "slices": lambda: slices(slice_labels(test.images, test.true), iou, clusters),
        "curve": lambda: curve(iou, clusters),
        "chance": lambda: coverage_range(CALIBRATION, len(iou)),
        "label errors": lambda: label_errors(images.join(test.images[["file", "line", "split"]])),
        "plots": lambda: draw_plots(found, context),
    }


def measured(test: TestSplit) -> dict[str, float]:
    """Return the seconds of each part."""
    return {name: round(turns.seconds(work, CPU), 3) for name, work in parts(test).items()}


def against_bootstrap(test: TestSplit, *, rounds: int) -> turns.Row:
    """Return the time of `evaluate_all` relative to a plain bootstrap of one mean."""
    iou = np.random.default_rng(0).random(len(test.images))
    took = turns.in_turn({"judging": lambda: evaluate_all(test), "plain": lambda: resampled(iou)}, CPU, rounds=rounds)
    ratios = turns.ratios(took["judging"], took["plain"])
    return turns.row(
        "judging", ratios, unit="times a plain bootstrap of one mean", device="cpu", note="lower is better"
    )


def resampled(values: Array) -> Array:
    """Return the means [RESAMPLES] of resamples of [N], one after the other."""
    rng = np.random.default_rng(0)
    return np.array([values[rng.integers(0, len(values), len(values))].mean() for _ in range(RESAMPLES)])


def context_of(test: TestSplit) -> ReportContext:
    """Return what the plots need besides the result; the rest is empty."""
    epochs = np.arange(1, 31)
    card = ModelCard(Architecture(18), 32, "", 25, 0.8, {}, CALIBRATION, "")
    history = pd.DataFrame({"epoch": epochs, "loss": 1 / epochs, "val_iou": 0.8 - 0.5 / epochs})
    return ReportContext(
        dataset="made",
        show_images=False,
        paths=[],
        models=[TrainedModel(card, history, {"test": len(test.images)})],
        params={},
        findings={},
        label_errors=pd.DataFrame(),
        digests={},
    )


def peak_mib() -> int:
    """Return the most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def show(sizes: dict[str, float], parts_s: dict[str, float]) -> None:
    """Print the seconds, the memory, and each part's share of the parts' time."""
    print(
        f"{sizes['images']:,} images: {sizes['first_s']:.1f} s with imports, {sum(parts_s.values()):.1f} s in parts; "
        f"peak memory {sizes['peak_mib']:,} MiB, {sizes['before_mib']:,} MiB of it before"
    )
    print("\n| part | seconds | share |\n|---|---|---|")
    for name, seconds in parts_s.items():
        print(f"| {name} | {seconds:.2f} | {seconds / sum(parts_s.values()):.0%} |")


if __name__ == "__main__":
    main()
