"""Past evaluations: their params, metrics, predictions, and the model that they evaluated."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from localizer.files import replace_file
from localizer.pipeline.dag import Digests, Pipeline, locked_digests
from localizer.tracking.errors import StoreError, explain
from localizer.tracking.history.records import run_record, tagged_digests
from localizer.tracking.history.runs import MODEL, History, list_some
from localizer.tracking.run_lifecycle import PIPELINE, POOLED, state_tag
from localizer.tracking.store import Store, local_path, main_checkout, sanitize_key

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun

EVALUATE, TRAIN = "evaluate", "train"
PREDICTIONS = "predictions.csv"  # an artifact of the evaluate stage's run, or of that of pooled folds
FOLDS = "folds"  # a tag of the run of pooled folds: their number


@dataclass(frozen=True)
class EvaluationRun:
    """A finished evaluation, and the execution of the pipeline that it was found by.

    run_id: of the evaluate stage's run. pipeline_id, name, commit, dirty, params: of the pipeline's run; commit is
    empty, and dirty None, if git was unknown. metrics: of evaluate, without a prefix. model: URI, `models:/m-…`, of the
    model whose weights were evaluated; None if it isn't known. folds: the number of pooled ones, whose models are
    evaluated together in a run of their own; 0 for a single model.
    """

    run_id: str
    pipeline_id: str
    name: str
    commit: str
    dirty: bool | None
    params: dict[str, str]
    metrics: dict[str, float]
    model: str | None
    folds: int = 0


def find_evaluations(history: History, name: str) -> list[EvaluationRun]:
    """Return the evaluations of the runs with an id, or six characters of it or more, or a name; newest first.

    For a run of evaluate or of pooled folds that is itself, for any other run the evaluation that its pipeline ran or
    took from the cache.
    Empty if there is no such run; ValueError if none of the runs has a finished evaluation.
    """
    finished, unfinished = {}, []
    for run in history.named(name):
        pipeline = history.parent(run) or run
        is_evaluation = run.data.tags.get("stage") == EVALUATE or run.data.tags.get("kind") == POOLED
        evaluation = run if is_evaluation else history.stage_run(pipeline, EVALUATE)
        if evaluation is None or evaluation.info.status != "FINISHED":
            unfinished.append(f"{run.info.run_id} ({run.info.run_name}): {_progress(pipeline, evaluation)}")
        else:  # of several pipelines with the same evaluation the oldest one, which ran it, stays
            finished[evaluation.info.run_id] = (evaluation, pipeline)
    if unfinished and not finished:
        raise ValueError(
            f"{name}: no finished evaluation: {list_some(unfinished)}; run `dvc repro`, or name a run that has one"
        )
    return [_evaluation_run(history, evaluation, pipeline) for evaluation, pipeline in finished.values()]


def source_digests(history: History, run: EvaluationRun) -> Digests:
    """Return the digests of the files that, with its params, determine an evaluation's result; empty if unknown.

    These are the inputs of its training and its evaluation that neither of them made: code and tables. What the tables
    were made from is left out: equal tables give equal results, so it makes no difference whether DVC ran the stages
    before training or took them from the cache.
    """
    evaluation = history.get(run.run_id)
    if evaluation is None:
        return {}
    training = next(_trainings(history, evaluation, history.get(run.pipeline_id) or evaluation), None)
    if training is None and any(f"in.{path}" in evaluation.data.tags for path in MODEL):
        return {}
    tags = {name: value for run_ in (training, evaluation) if run_ for name, value in run_.data.tags.items()}
    return {path: digest for path, digest in tagged_digests(tags, "in.").items() if f"out.{path}" not in tags}


def locked_source_digests(pipeline: Pipeline) -> Digests:
    """Return the source digests of the training and the evaluation in dvc.lock."""
    stages = [stage for stage in pipeline.stages if pipeline.label(stage) in (TRAIN, EVALUATE)]
    read = pipeline.file_digests(locked_digests(dep for stage in stages for dep in stage.deps))
    written = {pipeline.path(out) for stage in stages for out in stage.outs}
    return {sanitize_key(path): digest for path, digest in read.items() if path not in written}


def list_evaluations(runs: Sequence[EvaluationRun]) -> str:
    """Return the evaluations as text for a message that asks to choose one."""
    return list_some([f"{run.run_id} (of {run.name}, {run.pipeline_id})" for run in runs])


def _evaluation_run(history: History, evaluation: "MlflowRun", pipeline: "MlflowRun") -> EvaluationRun:
    record = run_record(pipeline)
    logged = (run_record(run).models for run in _trainings(history, evaluation, pipeline))
    return EvaluationRun(
        run_id=evaluation.info.run_id,
        pipeline_id=record.id,
        name=record.name,
        commit=record.commit or "",
        dirty=record.dirty,
        params=dict(pipeline.data.params),
        metrics={name.removeprefix(f"{EVALUATE}/"): value for name, value in evaluation.data.metrics.items()},
        model=next((models[0] for models in logged if len(models) == 1), None),  # of several it isn't known which
        folds=int(evaluation.data.tags.get(FOLDS, 0)),
    )


def _progress(pipeline: "MlflowRun", evaluation: "MlflowRun | None") -> str:
    if evaluation is not None:
        return f"its evaluation {evaluation.info.run_id} is {evaluation.info.status}"
    if pipeline.data.tags.get("kind") != PIPELINE:
        return "not a run of the pipeline"
    return f"evaluate is {pipeline.data.tags.get(state_tag(EVALUATE), 'unknown')}, the run {pipeline.info.status}"


def _trainings(history: History, evaluation: "MlflowRun", pipeline: "MlflowRun") -> "Iterator[MlflowRun]":
    """Yield the trainings that made the evaluated weights.

    The linked training has the same inputs, but may have made other weights: on another device, or by chance.
    """
    read = tagged_digests(evaluation.data.tags, "in.")
    linked = history.stage_run(pipeline, TRAIN)
    candidates = [linked] if linked else []
    for path in MODEL:
        candidates += history.producers(path, read[path]) if path in read else []
    for run in candidates:
        written = tagged_digests(run.data.tags, "out.")
        used = read.keys() & written.keys()
        if used and all(read[path] == written[path] for path in used):
            yield run


def find_predictions(history: History, run: EvaluationRun) -> Path | None:
    """Return the file of an evaluation's predictions; None if there is none. StoreError if a server fails.

    From a server it is copied once, into .localizer: a finished run doesn't change.
    """
    evaluation = history.get(run.run_id)
    folder = local_path(str(evaluation.info.artifact_uri)) if evaluation else None
    if folder:
        return folder / PREDICTIONS if (folder / PREDICTIONS).is_file() else None
    copy = main_checkout() / ".localizer" / "predictions" / f"{run.run_id}.csv"
    return copy if copy.is_file() or any(_download(store, run.run_id, copy) for store in history.stores) else None


def _download(store: Store, run_id: str, target: Path) -> bool:
    """Copy the predictions to the target; return whether the store has them. StoreError if that isn't known."""
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
        problem = f"can't download {PREDICTIONS} of run {run_id}: {explain(error)}"
        raise StoreError(f"{store.address}: {problem}; try again") from None
    replace_file(target, content)
    return True
