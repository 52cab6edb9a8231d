"""Walking the runs by content: who made what a run used, and who used what it made.

An edge is a digest: `in.<path>` on the run that used a file, and `out.<path>` of the same value on the one that made
it. What no run in the stores made is looked up in dvc.lock, and told as `unknown`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from localizer.pipeline.dag import Digests
from localizer.tracking.history.records import StageRecord, run_record, stage_record
from localizer.tracking.history.runs import History
from localizer.tracking.run_lifecycle import PIPELINE, STATE

if TYPE_CHECKING:
    from localizer.tracking.history.runs import MlflowRun

SHOWN = 20  # users of one step that are told, newest first


def trace_output(history: History, path: str, digest: str) -> StageRecord:
    """Return the step that made a file, with all before and after it; without a stage where none is known."""
    made = _above(history, {path: digest}, home=None)
    return _with_users(history, made[0] if made else StageRecord("", "unknown", outputs={path: digest}))


def trace_run(history: History, row: "MlflowRun") -> StageRecord:
    """Return the step of a stage's run with all before and after it, or a pipeline's run with its stages."""
    if row.data.tags.get("kind") == PIPELINE:
        return StageRecord(PIPELINE, "ran", run_record(row), stages=tuple(_stages(history, row)))
    return _with_users(history, _of_run(history, row))


@dataclass(frozen=True)
class _Choice:
    """Of the runs that made a file, the one to tell of; `makers` are the ids of all."""

    row: "MlflowRun"
    makers: frozenset[str]


def _choose(
    history: History, digests: Digests, *, home: "MlflowRun | None", seen: frozenset[str]
) -> dict[str, _Choice]:
    """Return the run that made each file: the one within the pipeline's run `home`, else one that its tags name.

    Else it is the one that made most of the files, else the newest.
    """
    rows = {path: history.producers(path, digest) for path, digest in digests.items()}
    makers = {path: frozenset(row.info.run_id for row in some) - seen for path, some in rows.items()}
    linked = {state.partition(":")[2] for state in _states(home).values()}

    def rank(row: "MlflowRun") -> tuple[bool, bool, int, int]:
        run_id = row.info.run_id
        inside = home is not None and row.data.tags.get("mlflow.parentRunId") == home.info.run_id
        return inside, run_id in linked, sum(run_id in some for some in makers.values()), row.info.start_time

    able = {path: [row for row in some if row.info.run_id in makers[path]] for path, some in rows.items()}
    return {path: _Choice(max(some, key=rank), makers[path]) for path, some in able.items() if some}


def _above(
    history: History, digests: Digests, *, home: "MlflowRun | None", seen: frozenset[str] = frozenset()
) -> tuple[StageRecord, ...]:
    """Return the steps that made the files: one a run, or a stage in dvc.lock where no run made them.

    seen: the runs on the way here, which did not make their own inputs.
    """
    chosen = _choose(history, digests, home=home, seen=seen)
    steps = []
    for run_id, row in {choice.row.info.run_id: choice.row for choice in chosen.values()}.items():
        mine = {path: choice for path, choice in chosen.items() if choice.row.info.run_id == run_id}
        alike = frozenset.intersection(*(choice.makers for choice in mine.values()))
        step = _of_run(history, row, seen=seen)
        steps.append(replace(step, via={path: digests[path] for path in mine}, others=len(alike) - 1))
    rest = {path: digest for path, digest in digests.items() if path not in chosen}
    for step in history.locked:
        if via := _shared(step.outputs, rest):
            steps.append(replace(_with_makers(history, step, home=None, seen=seen), via=via))
    return tuple(steps)


def _of_run(history: History, row: "MlflowRun", *, seen: frozenset[str] = frozenset()) -> StageRecord:
    return _with_makers(history, stage_record(row), home=_home(history, row), seen=seen | {row.info.run_id})


def _with_makers(history: History, step: StageRecord, *, home: "MlflowRun | None", seen: frozenset[str]) -> StageRecord:
    made_from = _above(history, step.inputs, home=home, seen=seen)
    made = {path for one in made_from for path in one.via}
    sources = {path: digest for path, digest in step.inputs.items() if path not in made}
    return replace(step, made_from=made_from, sources=sources)


def _with_users(history: History, step: StageRecord, *, above: frozenset[str] = frozenset()) -> StageRecord:
    """Return the step with those that used its outputs, each only where it is deepest.

    above: the steps that it is told under. Below another step, a run is told under the one that `_choose` names.
    """
    rows = {row.info.run_id: row for path, digest in step.outputs.items() for row in history.consumers(path, digest)}
    able = [row for row in rows.values() if not above or _is_made_from(history, row, step)]
    newest = sorted(able, key=lambda row: -row.info.start_time)
    users = [stage_record(row) for row in newest[:SHOWN]]
    stages = {row.data.tags.get("stage") for row in rows.values()}
    users += [one for one in history.locked if one.stage not in stages and _shared(step.outputs, one.inputs)]
    above |= {step.key}
    below = [_with_users(history, one, above=above) for one in users if one.key not in above]
    nested = {after.key for one in below for after in one.downstream()}
    told = (replace(one, via=_shared(step.outputs, one.inputs)) for one in below if one.key not in nested)
    return replace(step, used_by=tuple(told), more_users=len(newest[SHOWN:]))


def _is_made_from(history: History, row: "MlflowRun", step: StageRecord) -> bool:
    shared = _shared(stage_record(row).inputs, step.outputs)
    chosen = _choose(history, shared, home=_home(history, row), seen=frozenset())
    return not chosen or any(choice.row.info.run_id == step.key for choice in chosen.values())


def _stages(history: History, pipeline: "MlflowRun") -> Iterator[StageRecord]:
    """Yield the stages of a pipeline's run, in dvc.lock's order as far as it is known, else as they started."""
    inside = history.find(f"tags.`mlflow.parentRunId` = '{pipeline.info.run_id}'")
    steps = {step.key: step for step in map(stage_record, inside)}
    made = {name.removeprefix("out."): value for name, value in pipeline.data.tags.items() if name.startswith("out.")}
    for name, value in _states(pipeline).items():
        state, _, run_id = value.partition(":")
        row = history.get(run_id)
        locked = next(
            (step for step in history.locked if step.stage == name and step.outputs.items() <= made.items()), None
        )
        ended = name in {step.stage for step in steps.values()}
        if row:
            steps[run_id] = stage_record(row, state)
        elif state == "unknown" and locked:
            steps[name] = locked
        elif not (state == "pending" and ended):
            steps[name] = StageRecord(name, "pending" if state == "pending" else "unknown")
    order = [step.stage for step in history.locked]
    rank = {name: number for number, name in enumerate(order)}
    yield from sorted(
        steps.values(), key=lambda one: (rank.get(one.stage, len(rank)), one.run.started if one.run else "")
    )


def _home(history: History, row: "MlflowRun") -> "MlflowRun | None":
    return history.get(row.data.tags.get("mlflow.parentRunId", ""))


def _states(pipeline: "MlflowRun | None") -> dict[str, str]:
    """Return what the pipeline's run tells of each stage: see `links`."""
    tags = pipeline.data.tags if pipeline else {}
    return {name.removeprefix(STATE): value for name, value in tags.items() if name.startswith(STATE)}


def _shared(these: Digests, those: Digests) -> Digests:
    return {path: digest for path, digest in these.items() if those.get(path) == digest}
