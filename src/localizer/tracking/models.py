"""Logged models by what a user writes: a run, or an address; and the weights of one, wherever its files lie."""

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from localizer.tracking.execution import state_tag
from localizer.tracking.results import TRAIN, evaluated
from localizer.tracking.steps import facts, step_of
from localizer.tracking.store import Store, explain
from localizer.tracking.tracing import MODEL, History

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities import Run as Row
    from mlflow.entities.model_registry import ModelVersion

SHOWN = 5  # runs in a message
FILES = tuple(Path(path).name for path in MODEL)  # of the weights, and of the card beside them
ADDRESS = re.compile(r"models:/(?:(?P<id>m-[0-9a-f]{32})|(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<number>\d+)))/?")
RUN_ADDRESS = re.compile(r"runs:/([^/]+)(?:/.*)?")


@dataclass(frozen=True)
class Candidate:
    """A logged model that is meant: its id, and the run by which it was found.

    weights: md5 of models/localizer.safetensors, as the training that logged it has it; None where it isn't known.
    """

    model_id: str
    run_id: str
    name: str
    weights: str | None


def models_of_run(history: History, asked: str) -> list[Candidate]:
    """Return the models that a run's id, six characters of it or more, or its name means, newest first.

    A run of train means the model that it logged; any other the one that its pipeline's evaluation judged, or, where
    that has not ended, the one that its training logged. Returns nothing where no run is meant; raises ValueError
    where none that is meant has a model.
    """
    rows = history.named(asked)
    found = {model: row for row in reversed(rows) if (model := _model(history, row))}  # each with its newest run
    if rows and not found:
        runs = "; ".join(f"{row.info.run_id} ({row.info.run_name})" for row in rows[:SHOWN])
        more = f"; and {len(rows) - SHOWN} older ones" if len(rows) > SHOWN else ""
        raise ValueError(
            f"{asked}: no logged model, or several, of the training of {runs}{more}; `dvc repro --force train` logs one"
        )
    return [
        Candidate(model, row.info.run_id, row.info.run_name, _weights_md5(history, model))
        for model, row in reversed(found.items())
    ]


def model_of_address(history: History, address: str) -> str:
    """Return the id of the logged model of `models:/m-…`, `models:/NAME/NUMBER` or `models:/NAME@ALIAS`.

    ValueError where it is none of these, or the stores have none.
    """
    from mlflow import MlflowException

    match = ADDRESS.fullmatch(address)
    if match is None:
        raise ValueError(
            f"{address}: models:/localizer@champion, models:/localizer/3, models:/m-… or runs:/RUN/model was wanted"
        )
    problems = []
    for store in history.stores:
        try:
            return match["id"] or _registered(history, store, match)
        except MlflowException as error:
            problems.append(explain(error))
    raise ValueError(f"{address}: {'; '.join(problems)}; `localizer promote RUN` makes a champion")


def local_weights(history: History, model_id: str) -> Path | None:
    """Return the weights' file, its card beside it; None where the model lies on a server.

    ValueError where the model, or its weights, is gone.
    """
    _, logged = _logged(history, model_id)
    address = urlsplit(logged.artifact_location)
    return weights_in(Path(unquote(address.path)), model_id) if address.scheme in ("", "file") else None


def download(history: History, model_id: str, folder: Path) -> Path:
    """Copy the model's files from their server into a folder; return the weights' file. ValueError where that fails."""
    from mlflow import MlflowException
    from mlflow.artifacts import download_artifacts

    store, logged = _logged(history, model_id)
    address = store.client.tracking_uri
    try:
        download_artifacts(artifact_uri=logged.artifact_location, dst_path=str(folder), tracking_uri=address)
    except (MlflowException, OSError) as error:
        raise ValueError(f"models:/{model_id}: its files can't be had: {explain(error)}") from None
    return weights_in(folder, model_id)


def weights_in(folder: Path, model_id: str) -> Path:
    """Return the one file of weights below a logged model's folder that has its card beside it."""
    weights, card = FILES
    found = [path for path in sorted(folder.rglob(weights)) if path.with_name(card).is_file()]
    if not found:
        kept = "it was logged by an older Localizer" if (folder / "MLmodel").is_file() else "its files are gone"
        raise ValueError(
            f"models:/{model_id}: no {weights} with its {card} in the logged model: {kept}; train again "
            "(`dvc repro --force train`)"
        )
    return found[0]


def _model(history: History, row: "Row") -> str | None:
    own = facts(row).models
    if row.data.tags.get("stage") != TRAIN:
        try:
            judged = evaluated(history, row.info.run_id)
        except ValueError:
            judged = []
        if judged:
            own = (judged[0].model,) if judged[0].model else ()
        else:
            pipeline = history.get(row.data.tags.get("mlflow.parentRunId", "")) or row
            training = history.get(pipeline.data.tags.get(state_tag(TRAIN), "").partition(":")[2])
            own = facts(training).models if training else own
    return own[0].removeprefix("models:/") if len(own) == 1 else None


def _weights_md5(history: History, model_id: str) -> str | None:
    with suppress(ValueError):
        _, logged = _logged(history, model_id)
        row = history.get(logged.source_run_id or "")
        return step_of(row).outputs.get(MODEL[0]) if row else None
    return None


def _logged(history: History, model_id: str) -> "tuple[Store, LoggedModel]":
    from mlflow import MlflowException

    problems = []
    for store in history.stores:
        try:
            return store, store.client.get_logged_model(model_id)
        except MlflowException as error:
            problems.append(explain(error))
    raise ValueError(f"models:/{model_id}: {'; '.join(problems)}")


def _registered(history: History, store: Store, match: "re.Match[str]") -> str:
    """Return the logged model of a version; its source, where the UI registered it, is a model's folder, or a run's."""
    from mlflow import MlflowClient

    address = store.client.tracking_uri
    client = MlflowClient(address, registry_uri=address)  # whatever MLFLOW_REGISTRY_URI says
    found = _version(client, match)
    named = re.search(r"\bm-[0-9a-f]{32}\b", found.source or "")
    row = history.get(found.run_id or "")
    logged = facts(row).models if row else ()
    if not named and len(logged) != 1:
        raise ValueError(f"{match[0]}: version {found.version} was registered from {found.source}, no logged model")
    return named[0] if named else logged[0].removeprefix("models:/")


def _version(client: "MlflowClient", match: "re.Match[str]") -> "ModelVersion":
    if match["alias"]:
        return client.get_model_version_by_alias(match["name"], match["alias"])
    return client.get_model_version(match["name"], match["number"])
