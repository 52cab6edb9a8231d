"""What evaluations left: their params, metrics, predictions and the model that they judged."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from localizer.files import replace_file
from localizer.pipeline import dag
from localizer.tracking.history.runs import MODEL, History
from localizer.tracking.history.steps import facts, step_of
from localizer.tracking.run_lifecycle import PIPELINE, state_tag
from localizer.tracking.store import Store, StoreError, explain, fitting_key, main_checkout, without_user_info

if TYPE_CHECKING:
    from mlflow.entities import Run as Row

EVALUATE, TRAIN = "evaluate", "train"
PREDICTIONS = "predictions.csv"  # an artifact of the evaluate stage's run
SHOWN = 5  # of several runs, in a message


@dataclass(frozen=True)
class Evaluated:
    """An evaluation that finished, in the execution of the pipeline that was asked for.

    run_id: of the evaluate stage's run. pipeline_id, name, commit, dirty, params: of the pipeline's run; commit is
    empty, and dirty None, where git was unknown. metrics: of evaluate, without a prefix. model: `models:/m-…`, the one
    whose weights were judged; None where that isn't known.
    """

    run_id: str
    pipeline_id: str
    name: str
    commit: str
    dirty: bool | None
    params: dict[str, str]
    metrics: dict[str, float]
    model: str | None
    fetch: Callable[[], Path | None] = field(repr=False, compare=False)

    @cached_property
    def predictions(self) -> Path | None:
        """Return a local file, fetched from the server that has it; None where there is none.

        StoreError where the server doesn't give it.
        """
        return self.fetch()


def evaluated(history: History, asked: str) -> list[Evaluated]:
    """Return the evaluations that a run's id, six characters of it or more, or its name means, newest first.

    A run of evaluate means itself, any other that of its pipeline's run, whether that ran it or DVC took it from the
    cache. Returns nothing where no run is meant; raises ValueError where none that is meant has a finished one.
    """
    rows = history.named(asked)
    ended, open_ = {}, []
    for row in rows:
        pipeline = _pipeline(history, row)
        evaluation = row if _stage(row) == EVALUATE else _linked(history, pipeline, EVALUATE)
        if evaluation is None or evaluation.info.status != "FINISHED":
            open_.append(f"{row.info.run_id} ({row.info.run_name}): {_state(pipeline, evaluation)}")
        else:  # the same evaluation is told with the oldest run that has it, which is the one that ran it
            ended[evaluation.info.run_id] = (evaluation, pipeline)
    if open_ and not ended:
        raise ValueError(
            f"{asked}: no finished evaluation: {_some(open_)}; run `dvc repro`, or name a run that has one"
        )
    return [_evaluated(history, evaluation, pipeline) for evaluation, pipeline in ended.values()]


def sources(history: History, run: Evaluated) -> dag.Digests:
    """Return the digests, by path, that a result follows from beside its params; none where they aren't known.

    They are those of what its training and its evaluation read and neither made: code, and tables of data. What the
    tables were made from is left out, as the same tables give the same result. So a run of which DVC took the stages
    before training from the cache has the same sources as one that ran them.
    """
    evaluation = history.get(run.run_id)
    if evaluation is None:
        return {}
    training = next(_trainings(history, evaluation, history.get(run.pipeline_id) or evaluation), None)
    if training is None and any(path in MODEL for path in step_of(evaluation).inputs):
        return {}
    tags = {name: value for row in (training, evaluation) if row for name, value in row.data.tags.items()}
    read = {name.removeprefix("in."): digest for name, digest in tags.items() if name.startswith("in.")}
    return {path: digest for path, digest in read.items() if f"out.{path}" not in tags}


def locked_sources(pipeline: dag.Pipeline) -> dag.Digests:
    """Return the same for the training and the evaluation that dvc.lock tells of."""
    stages = [stage for stage in pipeline.stages if pipeline.label(stage) in (TRAIN, EVALUATE)]
    read = dag.files(pipeline, dag.locked([dep for stage in stages for dep in stage.deps]))
    made = {pipeline.path(out) for stage in stages for out in stage.outs}
    return {fitting_key(path): digest for path, digest in read.items() if path not in made}


def listed(some: Sequence[Evaluated]) -> str:
    """Return the evaluations in words, the first SHOWN of them, for a message that asks for one."""
    return _some([f"{one.run_id} (of {one.name}, {one.pipeline_id})" for one in some])


def _some(words: Sequence[str]) -> str:
    more = [f"and {len(words) - SHOWN} older ones"] if len(words) > SHOWN else []
    return "; ".join([*words[:SHOWN], *more])


def _evaluated(history: History, evaluation: "Row", pipeline: "Row") -> Evaluated:
    told = facts(pipeline)
    return Evaluated(
        run_id=evaluation.info.run_id,
        pipeline_id=told.id,
        name=told.name,
        commit=told.commit or "",
        dirty=told.dirty,
        params=dict(pipeline.data.params),
        metrics=dict(evaluation.data.metrics),
        model=_model(history, evaluation, pipeline),
        fetch=partial(_predictions, history, evaluation),
    )


def _pipeline(history: History, row: "Row") -> "Row":
    """Return the pipeline's run around a run; the run itself where there is none, or it was deleted."""
    return history.get(row.data.tags.get("mlflow.parentRunId", "")) or row


def _linked(history: History, pipeline: "Row", stage: str) -> "Row | None":
    return history.get(pipeline.data.tags.get(state_tag(stage), "").partition(":")[2])


def _stage(row: "Row") -> str:
    return str(row.data.tags.get("stage", ""))


def _state(pipeline: "Row", evaluation: "Row | None") -> str:
    if evaluation is not None:
        return f"its evaluation {evaluation.info.run_id} is {evaluation.info.status}"
    if pipeline.data.tags.get("kind") != PIPELINE:
        return "not a run of the pipeline"
    return f"evaluate is {pipeline.data.tags.get(state_tag(EVALUATE), 'unknown')}, the run {pipeline.info.status}"


def _model(history: History, evaluation: "Row", pipeline: "Row") -> str | None:
    """Return the model that the training logged whose weights were judged; of several, nothing tells which it is."""
    logged = (facts(row).models for row in _trainings(history, evaluation, pipeline))
    return next((models[0] for models in logged if len(models) == 1), None)


def _trainings(history: History, evaluation: "Row", pipeline: "Row") -> "Iterator[Row]":
    """Yield the trainings that made the weights that were judged.

    The linked training is that of the same key; on another device, or by chance, it may have made other weights.
    """
    linked = _linked(history, pipeline, TRAIN)
    read = step_of(evaluation).inputs
    made = [row for path in MODEL if path in read for row in history.makers(path, read[path])]
    for row in [linked, *made] if linked else made:
        outputs = step_of(row).outputs
        passed_on = read.keys() & outputs.keys()
        if passed_on and all(read[path] == outputs[path] for path in passed_on):
            yield row


def _predictions(history: History, evaluation: "Row") -> Path | None:
    """Return the local file, copied below .localizer where it lies on a server: a finished run's doesn't change."""
    address = urlsplit(str(evaluation.info.artifact_uri))
    if address.scheme in ("", "file"):
        path = Path(unquote(address.path)) / PREDICTIONS
        return path if path.is_file() else None
    copy = main_checkout() / ".localizer" / "predictions" / f"{evaluation.info.run_id}.csv"
    return copy if copy.is_file() or _download(history, evaluation.info.run_id, copy) else None


def _download(history: History, run_id: str, target: Path) -> bool:
    return any(_downloaded(store, run_id, target) for store in history.stores)


def _downloaded(store: Store, run_id: str, target: Path) -> bool:
    """Return whether the store has the file, copied to the target then; StoreError where that can't be told."""
    from mlflow import MlflowException
    from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

    try:
        if PREDICTIONS not in [file.path for file in store.client.list_artifacts(run_id)]:
            return False
        with tempfile.TemporaryDirectory() as folder:
            content = Path(store.client.download_artifacts(run_id, PREDICTIONS, folder)).read_bytes()
    except (MlflowException, OSError) as error:
        if getattr(error, "error_code", "") == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            return False  # the run is in another store
        where = without_user_info(store.client.tracking_uri)
        raise StoreError(f"{where}: {PREDICTIONS} of run {run_id} can't be had: {explain(error)}; try again") from None
    replace_file(target, content)
    return True
