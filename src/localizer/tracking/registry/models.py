"""Logged models by what a user writes: a run, or an address; and the weights of one, wherever its files lie."""

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from localizer.tracking.history.evaluations import TRAIN, evaluated
from localizer.tracking.history.runs import MODEL, History
from localizer.tracking.history.steps import facts, step_of
from localizer.tracking.registry.registry import VERSION_ADDRESS, open_registry
from localizer.tracking.run_lifecycle import state_tag
from localizer.tracking.store import Store, explain, without_user_info

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel
    from mlflow.entities import Run as Row

SHOWN = 5  # runs in a message
FILES = tuple(Path(path).name for path in MODEL)  # of the weights, and of the card beside them
MODEL_ADDRESS = re.compile(r"models:/(m-[0-9a-f]{32})/?")
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


def model_of_address(address: str) -> str:
    """Return the id of the logged model of `models:/m-…`, `models:/NAME/NUMBER` or `models:/NAME@ALIAS`.

    The last two are asked of the one registry, the server's where one is named. ValueError where the address is none of
    these, or the registry has none.
    """
    if match := MODEL_ADDRESS.fullmatch(address):
        return match[1]
    if VERSION_ADDRESS.fullmatch(address) is None:
        raise ValueError(
            f"{address}: models:/localizer@champion, models:/localizer/3, models:/m-… or runs:/RUN/model was expected"
        )
    try:
        version = open_registry().at(address)
    except ValueError as error:
        raise ValueError(f"{address}: {error}") from None
    if version.model is None:
        raise ValueError(f"{address}: version {version.number} was registered from {version.source}, no logged model")
    return version.model.removeprefix("models:/")


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
        where = without_user_info(address)
        raise ValueError(f"models:/{model_id}: its files can't be had from {where}: {explain(error)}") from None
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
