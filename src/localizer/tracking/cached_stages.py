"""The stages that didn't run: linked by content to the runs that made what the pipeline now uses.

On the pipeline's run, `stage.<name>` is `ran:RUN`, `cached:RUN` (DVC skipped or restored the stage, and RUN
did the same with the same inputs), `unknown` (skipped, but no such run is in this store) or `pending` (DVC
would run it). `complete` is true when none is pending.
"""

from typing import Any

from localizer.pipeline import dag
from localizer.pipeline.stage_context import Facts, shared, tagged
from localizer.tracking import process_id
from localizer.tracking.run_lifecycle import STAGE, STATE, of_stage, state_tag
from localizer.tracking.store import Store


def link_stages(store: Store, facts: Facts, *, run_id: str, parent_id: str) -> None:
    """Tag the stage's run with its outputs, and the pipeline's with the state of every stage."""
    before = store.client.get_run(parent_id).data.tags
    tags = {state_tag(facts.label): f"ran:{run_id}"}
    with dag.open_pipeline() as pipeline:
        if pipeline:
            own = pipeline.own(facts.stage)
            if own is not None:
                outputs = tagged("out", dag.files(pipeline, dag.current(own.outs)))
                store.write_tags(run_id, outputs)
                tags |= outputs
            tags |= _others(store, pipeline, before | tags, awaited=_awaited(pipeline, own))
    _copy_metrics(store, tags, before, parent_id=parent_id)
    states = [value for name, value in (before | tags).items() if name.startswith(STATE)]
    store.write_tags(parent_id, tags | {"complete": str("pending" not in states).lower()})


def _awaited(pipeline: dag.Pipeline, own: Any | None) -> set[Any]:
    """Return the stages that DVC will run next though nothing about them has changed."""
    done = pipeline.up_to(own) if own is not None else []
    return set(pipeline.stages).difference(done) if process_id.is_forced() else set()


def _others(store: Store, pipeline: dag.Pipeline, known: dict[str, str], *, awaited: set[Any]) -> dict[str, str]:
    tags: dict[str, str] = {}
    settled = set()  # what is in the working directory now is what this execution ends with
    for stage in pipeline.stages:
        name = state_tag(pipeline.label(stage))
        if known.get(name, "").startswith("ran:"):
            settled.add(stage)
        elif stage in awaited or not settled.issuperset(pipeline.upstream(stage)):
            tags[name] = "pending"
        elif dag.is_changed(stage):
            tags[name] = _run_of(store, pipeline, stage, dag.current(stage.deps)) or "pending"
        else:
            settled.add(stage)
            tags |= _skipped(store, pipeline, stage, name)
    return tags


def _skipped(store: Store, pipeline: dag.Pipeline, stage: Any, name: str) -> dict[str, str]:
    inputs, outputs = dag.locked(stage.deps), dag.locked(stage.outs)
    state = _run_of(store, pipeline, stage, inputs) or "unknown"
    digests = tagged("in", dag.files(pipeline, inputs)) | tagged("out", dag.files(pipeline, outputs))
    return shared(digests) | {name: state}


def _run_of(store: Store, pipeline: dag.Pipeline, stage: Any, digests: dict[Any, Any]) -> str | None:
    key = dag.key(pipeline, stage, digests)
    found = store.find(f"attributes.status = 'FINISHED' and tags.kind = '{STAGE}' and tags.key = '{key}'")
    return f"cached:{found[0].info.run_id}" if found else None


def _copy_metrics(store: Store, tags: dict[str, str], before: dict[str, str], *, parent_id: str) -> None:
    for name, state in tags.items():
        kind, _, run_id = state.partition(":")
        if name.startswith(STATE) and kind == "cached" and before.get(name) != state:
            names = store.client.get_run(run_id).data.metrics
            latest = [store.client.get_metric_history(run_id, metric)[-1] for metric in names]
            store.write_metrics(parent_id, of_stage(name.removeprefix(STATE), latest))
