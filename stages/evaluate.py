"""Evaluates the model on the test split, which influenced no choice about it, and lists likely label errors."""

import json
import sys
import time
from pathlib import Path
from typing import Annotated

from pydantic import Field

from localizer import config, tracking
from localizer.dataset import read_config_file
from localizer.device import Device, choose_device
from localizer.evaluation.evaluate import EvaluationResult, evaluate_held_out
from localizer.evaluation.gallery import gallery, placeholder
from localizer.evaluation.inputs import check_split, read_findings, read_split
from localizer.evaluation.label_errors import COLUMNS
from localizer.evaluation.report import ReportContext, draw_plots, report, summary
from localizer.files import file_sha256, replace_text, replacing, replacing_folder
from localizer.predictor import Predictor
from localizer.tables import EDGES, PREDICTED_EDGES, read_table, write_table

SPLIT = Path("tables/split.csv")
CONFIG = Path("tables/dataset.yaml")
WEIGHTS = Path("models/localizer.safetensors")
HISTORY = Path("reports/train/history.csv")
VALIDATION = Path("reports/validate/metrics.json")
METRICS = Path("reports/evaluate/metrics.json")
MEASURES = Path("reports/evaluate/measures.csv")
PREDICTIONS = Path("reports/evaluate/predictions.csv")
CURVE = Path("reports/evaluate/iou_curve.csv")
SLICES = Path("reports/evaluate/slices.csv")
LABEL_ERRORS = Path("reports/evaluate/suspects.csv")
GALLERY = Path("reports/evaluate/gallery.png")
PLOTS = Path("reports/evaluate/plots")
REPORT = Path("reports/evaluate/report.html")
INPUTS = (CONFIG, SPLIT, HISTORY, WEIGHTS, WEIGHTS.with_suffix(".json"))


class EvaluateParams(config.Record):
    """`batch_size`: images per batch; it affects memory, and results by rounding only."""

    device: Device
    batch_size: Annotated[int, Field(ge=1)]


def main() -> None:
    params = config.load("evaluate", EvaluateParams)
    device = choose_device(params.device)
    show_images = read_config_file(CONFIG).show_images
    with tracking.stage_run("evaluate") as run:
        split = read_split(SPLIT)
        predictor = Predictor.load(WEIGHTS, device=device)
        check_split(predictor.card, SPLIT, weights=WEIGHTS)
        started = time.perf_counter()
        paths, digests = (split.held_out[name].tolist() for name in ("path", "sha256"))
        predicted = predictor.predict_with_flip(paths, digests=digests, batch_size=params.batch_size)
        run.log_metrics({"images_per_s": len(paths) / (time.perf_counter() - started)})
        result, label_errors = evaluate_held_out(split, predicted, predictor.card)
        context = ReportContext(
            dataset=Path(split.test["path"].iloc[0]).parts[1],
            show_images=show_images,
            split=split,
            card=predictor.card,
            params=params.model_dump(),
            history=read_table(HISTORY, numbers=["epoch", "loss", "val_iou"]),
            findings=read_findings(VALIDATION),
            label_errors=label_errors,
            digests={path.as_posix(): file_sha256(path) for path in INPUTS},
        )
        write(result, context)
        run.log_table(split.test, name="test", context="evaluation")
        log(result, run=run)


def write(result: EvaluationResult, context: ReportContext) -> None:
    """Write all outputs once all are computed, so that an error leaves no part of them."""
    svgs = draw_plots(result, context)
    page = report(result, context, svgs=svgs)
    boxes = (result.images[columns].to_numpy() for columns in (EDGES, PREDICTED_EDGES, "iou"))
    sheet = gallery(context.paths, *boxes) if context.show_images else placeholder()
    write_table(result.metrics_table(), MEASURES)
    write_table(result.images, PREDICTIONS)
    write_table(result.curve, CURVE)
    write_table(result.slices, SLICES)
    write_table(context.label_errors[[*COLUMNS, *EDGES, *PREDICTED_EDGES]], LABEL_ERRORS)
    with replacing_folder(PLOTS) as folder:
        for name, svg in svgs.items():
            replace_text(folder / f"{name}.svg", svg)
    with replacing(GALLERY) as file:
        sheet.save(file, "PNG")
    replace_text(REPORT, page)
    replace_text(METRICS, json.dumps(result.metric_values(), indent=2) + "\n")


def log(result: EvaluationResult, *, run: tracking.Run) -> None:
    """Log the results to MLflow, and print a summary."""
    run.log_metrics(result.metric_values())
    for path in (METRICS, MEASURES, PREDICTIONS, CURVE, SLICES, LABEL_ERRORS, PLOTS):
        run.log_artifact(path)
    for path in (REPORT, GALLERY):
        run.log_highlight(path)
    text = f"{summary(result)}\nreport: {REPORT}"
    run.describe(text.replace("\n", "\n\n"))
    print(text)
    print(f"to make it the champion, unless the present one is better: localizer promote {run.id[:8]}")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"evaluate: {error}")
