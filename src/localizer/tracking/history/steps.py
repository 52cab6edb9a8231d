"""What is told of a stage's history: its run as MLflow has it, or its digests as dvc.lock has them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from localizer.pipeline import dag
from localizer.pipeline.dag import Digests
from localizer.tracking.run_lifecycle import AWAITED, SUCCESSOR
from localizer.tracking.store import fitting_key

if TYPE_CHECKING:
    from mlflow.entities import Run as Row


@dataclass(frozen=True)
class RunFacts:
    """A run. Times are ISO 8601 in UTC; `commit` and `dirty` are None where git was unknown.

    changed: the paths that made the checkout dirty. pipeline: the id of the pipeline's run around it, None for such
    a run itself. models: addresses of its logged models. continues, successor: ids of the killed run whose work it
    took up, and of the run that took up its own.
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
class Step:
    """A stage in the history of what was asked for; or a pipeline's run, with the steps of its `stages`.

    state: `ran`, or `unknown`: no run in the stores did it, so `run` is None and the digests are dvc.lock's. For the
    stages of a pipeline's run also `cached` (DVC skipped it; `run` had done the same) and `pending` (not run yet).
    via: the files that connect it to the step that it is told under. others: how many other finished runs made the
    same of these. inputs, outputs: all its files but code. sources: the inputs that no stage made. made_from, used_by:
    the steps before and after it. more_users: how many older users are not told.
    """

    stage: str
    state: str
    run: RunFacts | None = None
    via: Digests = field(default_factory=dict)
    others: int = 0
    inputs: Digests = field(default_factory=dict)
    outputs: Digests = field(default_factory=dict)
    sources: Digests = field(default_factory=dict)
    made_from: "tuple[Step, ...]" = ()
    used_by: "tuple[Step, ...]" = ()
    more_users: int = 0
    stages: "tuple[Step, ...]" = ()

    @property
    def name(self) -> str:
        """Return what is the same for this step wherever it is told."""
        return self.run.id if self.run else f"{self.stage} {sorted(self.outputs.items())}"

    def all(self) -> "Iterator[Step]":
        """Yield the step, and all that it is told with."""
        yield self
        for step in (*self.made_from, *self.used_by, *self.stages):
            yield from step.all()

    def after(self) -> "Iterator[Step]":
        """Yield the steps that used its outputs, and those that used theirs."""
        for step in self.used_by:
            yield step
            yield from step.after()


def step_of(row: "Row", state: str = "ran") -> Step:
    """Return the step of a stage's run, without those before and after it."""
    tags = row.data.tags
    stage, inputs, outputs = tags.get("stage", row.info.run_name), _digests(tags, "in."), _digests(tags, "out.")
    return Step(stage, state, facts(row), inputs=inputs, outputs=outputs)


def read_lock() -> tuple[Step, ...]:
    """Return what the working directory's dvc.lock tells of each stage, in order; nothing outside of a DVC project."""
    from dvc.exceptions import DvcException

    try:
        with dag.open_pipeline() as pipeline:
            return tuple(_locked(pipeline, stage) for stage in pipeline.stages) if pipeline else ()
    except DvcException as error:
        raise ValueError(f"dvc.yaml or dvc.lock can't be read: {error}; mend it, or take the committed one") from None


def facts(row: "Row") -> RunFacts:
    """Return a run as told."""
    tags, info = row.data.tags, row.info
    models = row.outputs.model_outputs if row.outputs else []
    dirty = {"true": True, "false": False}.get(tags.get("git.dirty", ""))
    return RunFacts(
        id=info.run_id,
        kind=tags.get("kind", ""),
        name=info.run_name,
        status=info.status,
        started=_time(info.start_time),
        ended=_time(info.end_time) if info.end_time else None,
        commit=None if dirty is None else tags.get("git.commit"),
        dirty=dirty,
        changed=tuple(tags.get("git.changed", "").split("\n")) if dirty else (),
        dataset=tags.get("dataset"),
        pipeline=tags.get("mlflow.parentRunId"),
        metrics=dict(sorted(row.data.metrics.items())),
        models=tuple(f"models:/{model.model_id}" for model in models),
        continues=tags.get("continues"),
        successor=tags.get(SUCCESSOR) if tags.get(SUCCESSOR) != AWAITED else None,
    )


def _locked(pipeline: dag.Pipeline, stage: Any) -> Step:
    files = [dag.files(pipeline, dag.locked(items)) for items in (stage.deps, stage.outs)]
    inputs, outputs = ({fitting_key(path): digest for path, digest in some.items()} for some in files)
    return Step(pipeline.label(stage), "unknown", inputs=_without_code(inputs), outputs=outputs)


def _digests(tags: Mapping[str, str], side: str) -> Digests:
    found = {name.removeprefix(side): value for name, value in sorted(tags.items()) if name.startswith(side)}
    return _without_code(found)


def _without_code(digests: Digests) -> Digests:
    return {path: digest for path, digest in digests.items() if not dag.is_code(path)}


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")
