"""Walk the stores' runs by content: the runs that made what a run read, and the runs that read what it made.

An edge is a digest: the tag `in.<path>` on the run that read a file, and `out.<path>` of the same value on the run that
made it. A file that no run in the stores made is looked up in dvc.lock; its record is `unknown`.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from localizer.pipeline.dag import Digests
from localizer.tracking.history.records import StageRecord, run_record, stage_record, tagged_digests
from localizer.tracking.history.runs import History
from localizer.tracking.run_lifecycle import PIPELINE, STATE

if TYPE_CHECKING:
    from localizer.tracking.history.runs import MlflowRun

MAX_CONSUMERS = 20  # of one stage, newest first


def trace_output(history: History, path: str, digest: str) -> StageRecord:
    """Return the record of the stage that made a file, empty if none is known, with all stages up- and downstream."""
    producers = _producers(history, {path: digest}, pipeline=None)
    return _with_consumers(history, producers[0] if producers else StageRecord("", "unknown", outputs={path: digest}))


def trace_run(history: History, run: "MlflowRun") -> StageRecord:
    """Return the record of a stage's run with all stages up- and downstream, or of a pipeline's run with its stages."""
    if run.data.tags.get("kind") == PIPELINE:
        return StageRecord(PIPELINE, "ran", run_record(run), stages=tuple(_stages(history, run)))
    return _with_consumers(history, _with_producers(history, stage_record(run)))


def _producers(
    history: History, digests: Digests, *, pipeline: "MlflowRun | None", seen: frozenset[str] = frozenset()
) -> tuple[StageRecord, ...]:
    """Return the records of the stages that made the files: of runs, or of dvc.lock for files that no run made.

    seen: ids of the runs between these files and the start of the walk, which did not make their own inputs.
    """
    selected = _select_producers(history, digests, pipeline=pipeline, seen=seen)
    records = []
    for run_id, run in {run.info.run_id: run for run in selected.values()}.items():
        via = {path: digests[path] for path, producer in selected.items() if producer.info.run_id == run_id}
        equal = [{producer.info.run_id for producer in history.producers(*file)} - seen for file in via.items()]
        others = len(set.intersection(*equal)) - 1
        records.append(replace(_with_producers(history, stage_record(run), seen=seen), via=via, others=others))
    rest = {path: digest for path, digest in digests.items() if path not in selected}
    for record in history.locked:
        if via := _shared(record.outputs, rest):
            records.append(replace(_with_producers(history, record, seen=seen), via=via))
    return tuple(records)


def _select_producers(
    history: History, digests: Digests, *, pipeline: "MlflowRun | None", seen: frozenset[str]
) -> "dict[str, MlflowRun]":
    """Return the run that made each file, for those that have one.

    Of several, it is the one inside the run `pipeline`, else one that its tags name, else the one that made most of
    the files, else the newest.
    """
    producers = {
        path: [run for run in history.producers(path, digest) if run.info.run_id not in seen]
        for path, digest in digests.items()
    }
    count = Counter(run.info.run_id for runs in producers.values() for run in runs)
    linked = {state.partition(":")[2] for state in _states(pipeline).values()}

    def rank(run: "MlflowRun") -> tuple[bool, bool, int, int]:
        run_id = run.info.run_id
        inside = pipeline is not None and run.data.tags.get("mlflow.parentRunId") == pipeline.info.run_id
        return inside, run_id in linked, count[run_id], run.info.start_time

    return {path: max(runs, key=rank) for path, runs in producers.items() if runs}


def _with_producers(history: History, record: StageRecord, *, seen: frozenset[str] = frozenset()) -> StageRecord:
    producers = _producers(history, record.inputs, pipeline=_pipeline(history, record), seen=seen | {record.key})
    made = {path for producer in producers for path in producer.via}
    sources = {path: digest for path, digest in record.inputs.items() if path not in made}
    return replace(record, made_from=producers, sources=sources)


def _with_consumers(history: History, record: StageRecord, *, above: frozenset[str] = frozenset()) -> StageRecord:
    """Return the record with the stages that read its outputs, each only at its deepest place in the tree.

    above: keys of the records above it in the tree. If there are any, it has only the runs for which
    `_select_producers` selects it.
    """
    runs = {run.info.run_id: run for file in record.outputs.items() for run in history.consumers(*file)}
    newest = sorted(
        (run for run in runs.values() if not above or _is_producer(history, record, stage_record(run))),
        key=lambda run: -run.info.start_time,
    )
    stages = {run.data.tags.get("stage") for run in runs.values()}
    locked = (user for user in history.locked if user.stage not in stages and _shared(record.outputs, user.inputs))
    above |= {record.key}
    users = [
        _with_consumers(history, replace(user, via=_shared(record.outputs, user.inputs)), above=above)
        for user in (*map(stage_record, newest[:MAX_CONSUMERS]), *locked)
        if user.key not in above
    ]
    nested = {later.key for user in users for later in user.downstream()}
    direct = tuple(user for user in users if user.key not in nested)
    return replace(record, used_by=direct, more_users=len(newest[MAX_CONSUMERS:]))


def _is_producer(history: History, record: StageRecord, user: StageRecord) -> bool:
    shared = _shared(user.inputs, record.outputs)
    producers = _select_producers(history, shared, pipeline=_pipeline(history, user), seen=frozenset())
    return not producers or any(producer.info.run_id == record.key for producer in producers.values())


def _stages(history: History, pipeline: "MlflowRun") -> Iterator[StageRecord]:
    """Yield the stages of a pipeline's run: in dvc.lock's order, those that it lacks last, by start time."""
    runs = history.find(f"tags.`mlflow.parentRunId` = '{pipeline.info.run_id}'")
    records = {record.key: record for record in map(stage_record, runs)}
    outputs = tagged_digests(pipeline.data.tags, "out.").items()
    for stage, value in _states(pipeline).items():
        state, _, run_id = value.partition(":")
        if run := history.get(run_id):
            records[run_id] = stage_record(run, state)
        elif state != "pending":
            locked = (
                record for record in history.locked if record.stage == stage and record.outputs.items() <= outputs
            )
            records[stage] = next(locked, StageRecord(stage, "unknown"))
        elif stage not in {record.stage for record in records.values()}:
            records[stage] = StageRecord(stage, "pending")
    order = {record.stage: number for number, record in enumerate(history.locked)}
    yield from sorted(
        records.values(),
        key=lambda record: (order.get(record.stage, len(order)), record.run.started if record.run else ""),
    )


def _pipeline(history: History, record: StageRecord) -> "MlflowRun | None":
    return history.get(record.run.pipeline or "") if record.run else None


def _states(pipeline: "MlflowRun | None") -> dict[str, str]:
    """Return `state` or `state:run id` by stage, from the tags of a pipeline's run."""
    tags = pipeline.data.tags if pipeline else {}
    return {name.removeprefix(STATE): value for name, value in tags.items() if name.startswith(STATE)}


def _shared(files: Digests, others: Digests) -> Digests:
    return {path: digest for path, digest in files.items() if others.get(path) == digest}
