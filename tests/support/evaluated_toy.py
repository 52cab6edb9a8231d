"""Runs as an execution of the pipeline leaves them: train with a logged model, and evaluate with predictions."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow.entities import LoggedModelOutput
from tracking_toy import SAVE_MODEL, environment

from localizer.tracking.store import Store

COLUMNS = (
    "image,label,width,height,xmin_px,ymin_px,xmax_px,ymax_px,pred_xmin_px,pred_ymin_px,pred_xmax_px,pred_ymax_px,iou"
)
WEIGHTS = "models/localizer.safetensors"
GAINS = {"gain_over_mean_box": 0.2, "gain_over_mean_box_low": 0.1, "gain_over_mean_box_high": 0.3, "mean_iou": 0.5}
CHAMPION = "models:/localizer@champion"
AS_MLFLOW = """
import mlflow
from localizer.tracking.logged_model import pyfunc_arguments

mlflow.pyfunc.save_model("complete", **pyfunc_arguments(Path("models/localizer.safetensors")))
"""
COMMIT = {"git.commit": "c" * 40, "git.dirty": "false"}


@dataclass(frozen=True)
class Logged:
    """The ids of an execution's runs, and the address of the model that its training logged."""

    name: str
    pipeline: str
    train: str
    evaluate: str
    model: str


def enter(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_NAME", "DVC_ROOT", "DVC_STAGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(root)


def table(ious: Iterable[float]) -> str:
    """Predictions of boxes 50 pixels wide and high in images of 100 by 100."""
    boxes = "0.0,0.0,50.0,50.0,1.0,2.0,50.0,50.0"
    rows = [f"{number}.png,cat,100,100,{boxes},{iou:.6f}" for number, iou in enumerate(ious)]
    return "\n".join([COLUMNS, *rows, ""])


def execution(
    store: Store,
    name: str,
    predictions: str = "",
    *,
    status: str = "FINISHED",
    commit: dict[str, str] = COMMIT,
    metrics: dict[str, float] = GAINS,
) -> Logged:
    """Log an execution that ran both stages; without predictions where they are empty."""
    pipeline = _run(store, name, {"kind": "pipeline"} | commit)
    inside = {"kind": "stage", "mlflow.parentRunId": pipeline} | commit
    train = _run(store, "train", inside | {"stage": "train", f"out.{WEIGHTS}": name, "out.models/log.csv": "1"})
    evaluate = _run(store, "evaluate", inside | {"stage": "evaluate", f"in.{WEIGHTS}": name, "in.tables/t.csv": "2"})
    model = log_model(store, train)
    for key, value in metrics.items():
        store.client.log_metric(evaluate, key, value)
    if predictions:
        store.client.log_text(evaluate, predictions, "predictions.csv")
    store.write_params(pipeline, {"train.lr": "0.1"})
    store.write_tags(pipeline, {"stage.train": f"ran:{train}", "stage.evaluate": f"ran:{evaluate}"})
    for run_id, end in ((train, "FINISHED"), (evaluate, status), (pipeline, status)):
        store.client.set_terminated(run_id, end)
    return Logged(name, pipeline, train, evaluate, model)


def skipped(store: Store, name: str, *, train: str, evaluate: str) -> str:
    """Log a pipeline's run for which DVC took both stages from the cache; return its id."""
    run_id = _run(store, name, {"kind": "pipeline"} | COMMIT)
    store.write_tags(run_id, {"stage.train": f"cached:{train}", "stage.evaluate": f"cached:{evaluate}"})
    store.client.set_terminated(run_id, "FINISHED")
    return run_id


def log_model(store: Store, run_id: str) -> str:
    """Log a model that has only its MLmodel file; return its URI."""
    made = store.client.create_logged_model(store.experiment_id, name="model", source_run_id=run_id)
    description = Path("MLmodel")
    description.write_text(f"model_id: {made.model_id}\nrun_id: {run_id}\nflavors: {{}}\n")
    store.client.log_model_artifact(made.model_id, str(description))
    description.unlink()
    store.client.finalize_logged_model(made.model_id, "READY")
    store.client.log_outputs(run_id, [LoggedModelOutput(made.model_id, step=0)])
    return f"models:/{made.model_id}"


def give_files(store: Store, run: Logged) -> None:
    """Complete a logged model: weights with a fresh head, their card and the code, as training logs them."""
    subprocess.run([sys.executable, "-c", SAVE_MODEL + AS_MLFLOW], env=environment(), check=True)
    place = store.client.get_logged_model(run.model.removeprefix("models:/")).artifact_location
    folder = Path(place.removeprefix("file://"))
    (folder / "MLmodel").unlink()
    shutil.copytree("complete", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.rmtree("complete")
    digest = hashlib.md5(Path(WEIGHTS).read_bytes()).hexdigest()
    store.client.set_tag(run.train, f"out.{WEIGHTS}", digest)
    store.client.set_tag(run.evaluate, f"in.{WEIGHTS}", digest)


def _run(store: Store, name: str, tags: dict[str, str]) -> str:
    return str(store.client.create_run(store.experiment_id, tags=tags, run_name=name).info.run_id)
