"""Logged models by run or model URI, and their weights, on this machine or on a server."""

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from localizer.tracking.errors import explain
from localizer.tracking.history.evaluations import TRAIN, find_evaluations
from localizer.tracking.history.records import run_record
from localizer.tracking.history.runs import MODEL, History, list_some, unknown_uri
from localizer.tracking.registry.registry import VERSION_URI, open_registry
from localizer.tracking.store import local_path

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun

WEIGHTS, CARD = (Path(path).name for path in MODEL)
MODEL_URI = re.compile(r"models:/(m-[0-9a-f]{32})/?")
RUN_URI = re.compile(r"runs:/([^/]+)(?:/.*)?")


@dataclass(frozen=True)
class LoggedModelMatch:
    """A logged model, and the run by which it was found.

    weights: md5 of models/localizer.safetensors on the training that logged it; None if it isn't known.
    """

    model_id: str
    run_id: str
    name: str
    weights: str | None


def find_models(history: History, name: str) -> list[LoggedModelMatch]:
    """Return the models of the runs with an id, or six characters of it or more, or a name; newest first.

    For a run of train that is the model that it logged; for any other the one that its pipeline evaluated, or, before
    that, trained. Empty if there is no such run; ValueError if none of the runs has a model.
    """
    runs = history.named(name)
    newest = {model_id: run for run in reversed(runs) if (model_id := _model_id(history, run))}
    if runs and not newest:
        listed = list_some([f"{run.info.run_id} ({run.info.run_name})" for run in runs])
        raise ValueError(
            f"{name}: no logged model, or several, of the training of {listed}; `dvc repro --force train` logs one"
        )
    matches = []
    for model_id, run in reversed(newest.items()):
        training = history.model_source(model_id)
        weights = training.data.tags.get(f"out.{MODEL[0]}") if training else None
        matches.append(LoggedModelMatch(model_id, run.info.run_id, run.info.run_name, weights))
    return matches


def logged_model_id(uri: str) -> str:
    """Return the id of the logged model of `models:/m-…`, `models:/NAME/NUMBER` or `models:/NAME@ALIAS`.

    The last two are looked up in the registry, the server's if one is named. ValueError for any other URI, or if the
    registry has no such version.
    """
    if match := MODEL_URI.fullmatch(uri):
        return match[1]
    if VERSION_URI.fullmatch(uri) is None:
        raise unknown_uri(uri)
    try:
        version = open_registry().version_at(uri)
    except ValueError as error:
        raise ValueError(f"{uri}: {error}") from None
    if version.model is None:
        raise ValueError(f"{uri}: version {version.number} was registered from {version.source}, not a logged model")
    return version.model.removeprefix("models:/")


def local_weights(history: History, model_id: str) -> Path | None:
    """Return the weights' file, with its card next to it; None if the model is on a server.

    ValueError if the model or its weights are gone.
    """
    _, model = history.logged_model(model_id)
    folder = local_path(model.artifact_location)
    return _find_weights(folder, model_id) if folder else None


def download(history: History, model_id: str, folder: Path) -> Path:
    """Copy the model's files from their server into a folder; return the weights' file. ValueError if that fails."""
    from mlflow import MlflowException
    from mlflow.artifacts import download_artifacts

    store, model = history.logged_model(model_id)
    uri = store.client.tracking_uri
    try:
        download_artifacts(artifact_uri=model.artifact_location, dst_path=str(folder), tracking_uri=uri)
    except (MlflowException, OSError) as error:
        raise ValueError(f"models:/{model_id}: can't download it from {store.address}: {explain(error)}") from None
    return _find_weights(folder, model_id)


def _find_weights(folder: Path, model_id: str) -> Path:
    """Return the weights' file below a logged model's folder that has its card next to it."""
    for path in sorted(folder.rglob(WEIGHTS)):
        if path.with_name(CARD).is_file():
            return path
    cause = "it was logged by an older Localizer" if (folder / "MLmodel").is_file() else "its files are gone"
    raise ValueError(
        f"models:/{model_id}: no {WEIGHTS} with its {CARD} in the logged model: {cause}; train again "
        "(`dvc repro --force train`)"
    )


def _model_id(history: History, run: "MlflowRun") -> str | None:
    models = run_record(run).models
    if run.data.tags.get("stage") != TRAIN:
        with suppress(ValueError):
            if found := find_evaluations(history, run.info.run_id):
                return found[0].model.removeprefix("models:/") if found[0].model else None
        if training := history.stage_run(history.parent(run) or run, TRAIN):
            models = run_record(training).models
    return models[0].removeprefix("models:/") if len(models) == 1 else None
