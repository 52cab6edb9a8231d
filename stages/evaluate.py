"""Judges the model on the test side, which chose nothing about it, and lists labels to look at."""

import sys
import time
from pathlib import Path
from typing import Annotated

from pydantic import Field

from localizer import config, tracking
from localizer.dataset import DatasetConfig
from localizer.device import Device, choose_device
from localizer.evaluation import outputs
from localizer.evaluation.evaluate import PREDICTED_EDGES, EvaluationResult, evaluate_held_out
from localizer.evaluation.inputs import check_split, read_split
from localizer.evaluation.label_errors import COLUMNS
from localizer.evaluation.report import About, about, drawn, report
from localizer.files import replace_text
from localizer.predictor import Predictor
from localizer.tables import EDGES, Table, write_table

SPLIT = Path("tables/split.csv")
CARD = Path("tables/dataset.yaml")
WEIGHTS = Path("models/localizer.safetensors")
HISTORY = Path("reports/train/history.csv")
VALIDATION = Path("reports/validate/metrics.json")
METRICS = Path("reports/evaluate/metrics.json")
MEASURES = Path("reports/evaluate/measures.csv")
PREDICTIONS = Path("reports/evaluate/predictions.csv")
CURVE = Path("reports/evaluate/iou_curve.csv")
SLICES = Path("reports/evaluate/slices.csv")
SUSPECTS = Path("reports/evaluate/suspects.csv")
GALLERY = Path("reports/evaluate/gallery.png")
PLOTS = Path("reports/evaluate/plots")
REPORT = Path("reports/evaluate/report.html")
MADE_FROM = (CARD, SPLIT, HISTORY, WEIGHTS, WEIGHTS.with_suffix(".json"))


class EvaluateParams(config.Record):
    """`batch_size`: images at once; it changes memory, and results by rounding alone."""

    device: Device
    batch_size: Annotated[int, Field(ge=1)]


def main() -> None:
    params = config.load("evaluate", EvaluateParams)
    device = choose_device(params.device)
    card = config.parse(DatasetConfig, config.read_yaml(CARD), where=str(CARD))
    with tracking.stage_run("evaluate") as run:
        split = read_split(SPLIT)
        held_out = split.held_out
        predictor = Predictor.load(WEIGHTS, device=device)
        check_split(predictor.card, SPLIT, weights=WEIGHTS)
        started = time.perf_counter()
        paths, digests = held_out["path"].tolist(), held_out["sha256"].tolist()
        seen = predictor.predict_with_flip(paths, digests=digests, batch_size=params.batch_size)
        run.log_metrics({"images_per_s": len(held_out) / (time.perf_counter() - started)})
        found, doubted = evaluate_held_out(split, seen, predictor.card)
        told = about(
            split,
            doubted,
            predictor.card,
            card=card,
            params=params.model_dump(),
            history=HISTORY,
            findings=VALIDATION,
            made_from=MADE_FROM,
        )
        write(found, doubted, told)
        run.log_table(split.test, name="test", context="evaluation")
        log(found, run=run)


def write(found: EvaluationResult, doubted: Table, told: About) -> None:
    """Write everything, once all of it is made, so that a fault leaves no half of it."""
    svgs = drawn(found, told)
    page = report(found, told, svgs=svgs)
    tables = {MEASURES: found.table(), PREDICTIONS: found.images, CURVE: found.curve, SLICES: found.slices}
    for path, table in (tables | {SUSPECTS: doubted[[*COLUMNS, *EDGES, *PREDICTED_EDGES]]}).items():
        write_table(table, path)
    outputs.write_plots(svgs, PLOTS)
    outputs.write_gallery(found, told, GALLERY)
    replace_text(REPORT, page)
    outputs.write_metrics(found, METRICS)


def log(found: EvaluationResult, *, run: tracking.Run) -> None:
    """Give the results to MLflow, and the terminal a summary."""
    run.log_metrics(found.metrics())
    for path in (METRICS, MEASURES, PREDICTIONS, CURVE, SLICES, SUSPECTS, PLOTS):
        run.log_artifact(path)
    for path in (REPORT, GALLERY):
        run.log_highlight(path)
    summary = outputs.summary(found, report=REPORT)
    run.describe(summary.replace("\n", "\n\n"))
    print(summary)
    print(f"as the champion, unless another is better: localizer promote {run.id[:8]}")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"evaluate: {error}")
