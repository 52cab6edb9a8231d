"""Records of past stages: a run of MLflow, or the digests in dvc.lock."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from localizer.pipeline.dag import Digests, Pipeline, is_code, locked_digests, open_pipeline
from localizer.tracking.run_lifecycle import AWAITED, SUCCESSOR
from localizer.tracking.store import sanitize_key

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun


@dataclass(frozen=True)
class RunRecord:
    """A run. Times are ISO 8601 in UTC; `commit` and `dirty` are None if git was unknown.

    changed: the paths that made the checkout dirty. pipeline: id of the pipeline's run around it, None for such a run
    itself. models: URIs of its logged models. continues, successor: ids of the killed run whose work it continued, and
    of the run that continued its own.
    """

    id: str
    kind: str
    name: str
    status: str
    started: str
    ended: str | None
    commit: str | None
    dirty: bool | None
    changed: tuple[str, ...]
    dataset: str | None
    pipeline: str | None
    metrics: dict[str, float]
    models: tuple[str, ...]
    continues: str | None
    successor: str | None


@dataclass(frozen=True)
class StageRecord:
    """A stage in the lineage of a file or run; or a pipeline's run, with the records of its `stages`.

    state: `ran`, or `unknown`: the stores have no run of it, so `run` is None and the digests are dvc.lock's. For the
    stages of a pipeline's run also `cached` (DVC skipped it; `run` had the same inputs) and `pending` (not run yet).
    via: the files that connect it to the record that has it. others: the number of other finished runs that made the
    same files. inputs, outputs: all its files but code. sources: the inputs that no stage made. made_from, used_by:
    the stages before and after it. more_users: the number of older users that are left out.
    """

    stage: str
    state: str
    run: RunRecord | None = None
    via: Digests = field(default_factory=dict)
    others: int = 0
    inputs: Digests = field(default_factory=dict)
    outputs: Digests = field(default_factory=dict)
    sources: Digests = field(default_factory=dict)
    made_from: "tuple[StageRecord, ...]" = ()
    used_by: "tuple[StageRecord, ...]" = ()
    more_users: int = 0
    stages: "tuple[StageRecord, ...]" = ()

    @property
    def key(self) -> str:
        """Return what identifies the stage's execution, wherever it is in the lineage."""
        return self.run.id if self.run else f"{self.stage} {sorted(self.outputs.items())}"

    def all(self) -> "Iterator[StageRecord]":
        """Yield the record and all records below it."""
        yield self
        for record in (*self.made_from, *self.used_by, *self.stages):
            yield from record.all()

    def downstream(self) -> "Iterator[StageRecord]":
        """Yield the stages that used its outputs, and those that used theirs."""
        for record in self.used_by:
            yield record
            yield from record.downstream()


def stage_record(run: "MlflowRun", state: str = "ran") -> StageRecord:
    """Return the record of a stage's run, without the stages before and after it."""
    tags = run.data.tags
    inputs, outputs = (_without_code(tagged_digests(tags, prefix)) for prefix in ("in.", "out."))
    return StageRecord(tags.get("stage", run.info.run_name), state, run_record(run), inputs=inputs, outputs=outputs)


def tagged_digests(tags: Mapping[str, str], prefix: str) -> Digests:
    """Return the digests in a run's tags, by path; prefix: `in.` or `out.`."""
    return {name.removeprefix(prefix): digest for name, digest in sorted(tags.items()) if name.startswith(prefix)}


def read_dvc_lock() -> tuple[StageRecord, ...]:
    """Return the stages in the working directory's dvc.lock, in order; none outside of a DVC project."""
    from dvc.exceptions import DvcException

    try:
        with open_pipeline() as pipeline:
            return tuple(_locked_record(pipeline, stage) for stage in pipeline.stages) if pipeline else ()
    except DvcException as error:
        raise ValueError(f"dvc.yaml or dvc.lock can't be read: {error}; fix it, or restore the committed one") from None


def run_record(run: "MlflowRun") -> RunRecord:
    tags, info = run.data.tags, run.info
    outputs = run.outputs.model_outputs if run.outputs else []
    dirty = {"true": True, "false": False}.get(tags.get("git.dirty", ""))
    return RunRecord(
        id=info.run_id,
        kind=tags.get("kind", ""),
        name=info.run_name,
        status=info.status,
        started=_iso_time(info.start_time),
        ended=_iso_time(info.end_time) if info.end_time else None,
        commit=None if dirty is None else tags.get("git.commit"),
        dirty=dirty,
        changed=tuple(tags.get("git.changed", "").split("\n")) if dirty else (),
        dataset=tags.get("dataset"),
        pipeline=tags.get("mlflow.parentRunId"),
        metrics=dict(sorted(run.data.metrics.items())),
        models=tuple(f"models:/{output.model_id}" for output in outputs),
        continues=tags.get("continues"),
        successor=tags.get(SUCCESSOR) if tags.get(SUCCESSOR) != AWAITED else None,
    )


def _locked_record(pipeline: Pipeline, stage: Any) -> StageRecord:
    inputs, outputs = (
        {sanitize_key(path): digest for path, digest in pipeline.file_digests(locked_digests(items)).items()}
        for items in (stage.deps, stage.outs)
    )
    return StageRecord(pipeline.label(stage), "unknown", inputs=_without_code(inputs), outputs=outputs)


def _without_code(digests: Digests) -> Digests:
    return {path: digest for path, digest in digests.items() if not is_code(path)}


def _iso_time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")
