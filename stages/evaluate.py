"""Evaluates the model on the test split, which influenced no choice about it, and lists likely label errors."""

import sys
import time
from pathlib import Path
from typing import Annotated

from pydantic import Field

from localizer import config, tracking
from localizer.dataset import read_config_file
from localizer.device import Device, choose_device
from localizer.evaluation.evaluate import EvaluationResult, evaluate_held_out
from localizer.evaluation.inputs import check_split, read_findings, read_history, read_split
from localizer.evaluation.outputs import outputs_in, write_outputs
from localizer.evaluation.report import ReportContext, TrainedModel, summary
from localizer.files import file_sha256
from localizer.predictor import Predictor

SPLIT = Path("tables/split.csv")
CONFIG = Path("tables/dataset.yaml")
WEIGHTS = Path("models/localizer.safetensors")
HISTORY = Path("reports/train/history.csv")
VALIDATION = Path("reports/validate/metrics.json")
OUTPUTS = outputs_in(Path("reports/evaluate"))
METRICS, MEASURES, PREDICTIONS, CURVE, SLICES, LABEL_ERRORS, PLOTS, REPORT, GALLERY = OUTPUTS
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
            paths=[Path(path) for path in split.test["path"]],
            models=[TrainedModel(predictor.card, read_history(HISTORY), split.counts)],
            params=params.model_dump(),
            findings=read_findings(VALIDATION),
            label_errors=label_errors,
            digests={path.as_posix(): file_sha256(path) for path in INPUTS},
        )
        write_outputs(result, context, OUTPUTS)
        run.log_table(split.test, name="test", context="evaluation")
        log(result, run=run)


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
