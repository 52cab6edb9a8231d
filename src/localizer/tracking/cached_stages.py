"""The state of every stage of an execution, with links from skipped stages to the runs that made their outputs.

On the pipeline's run, `stage.<name>` is `ran:RUN`, `cached:RUN` (DVC skipped or restored the stage, and RUN had the
same inputs), `unknown` (skipped, but this store has no such run) or `pending` (DVC would run it). `complete` is true
if none is pending.
"""

from typing import Any

from localizer.pipeline.dag import Pipeline, current_digests, is_changed, locked_digests, open_pipeline
from localizer.pipeline.stage_context import StageContext, digest_tags, without_code
from localizer.tracking import process_id
from localizer.tracking.run_lifecycle import STAGE, STATE, log_to_pipeline, state_tag
from localizer.tracking.store import Store


def link_stages(store: Store, context: StageContext, *, run_id: str, parent_id: str) -> None:
    """Tag the stage's run with its outputs, and the pipeline's run with the state of every stage."""
    before = store.client.get_run(parent_id).data.tags
    tags = {state_tag(context.label): f"ran:{run_id}"}
    with open_pipeline() as pipeline:
        if pipeline:
            stage = pipeline.find_stage(context.stage)
            if stage is not None:
                outputs = digest_tags("out", pipeline.file_digests(current_digests(stage.outs)))
                store.write_tags(run_id, outputs)
                tags |= outputs
            tags |= _other_stages(store, pipeline, before | tags, pending=_forced_stages(pipeline, stage))
    _copy_metrics(store, tags, before, parent_id=parent_id)
    is_complete = "pending" not in [value for name, value in (before | tags).items() if name.startswith(STATE)]
    store.write_tags(parent_id, tags | {"complete": str(is_complete).lower()})


def _forced_stages(pipeline: Pipeline, stage: Any | None) -> set[Any]:
    """Return the stages that `dvc repro --force` will run after this one, although nothing has changed."""
    done = pipeline.with_upstream(stage) if stage is not None else []
    return set(pipeline.stages).difference(done) if process_id.is_forced() else set()


def _other_stages(store: Store, pipeline: Pipeline, known: dict[str, str], *, pending: set[Any]) -> dict[str, str]:
    tags: dict[str, str] = {}
    final = set()  # stages whose outputs in the working directory are those that this execution ends with
    for stage in pipeline.stages:
        name = state_tag(pipeline.label(stage))
        if known.get(name, "").startswith("ran:"):
            final.add(stage)
        elif stage in pending or not final.issuperset(pipeline.upstream(stage)):
            tags[name] = "pending"
        elif is_changed(stage):
            tags[name] = _find_same(store, pipeline, stage, current_digests(stage.deps)) or "pending"
        else:
            final.add(stage)
            inputs, outputs = locked_digests(stage.deps), locked_digests(stage.outs)
            digests = digest_tags("in", pipeline.file_digests(inputs))
            tags |= without_code(digests | digest_tags("out", pipeline.file_digests(outputs)))
            tags[name] = _find_same(store, pipeline, stage, inputs) or "unknown"
    return tags


def _find_same(store: Store, pipeline: Pipeline, stage: Any, inputs: dict[Any, Any]) -> str | None:
    """Return the state that links to the newest finished run with the same command, inputs and params."""
    key = pipeline.stage_key(stage, inputs)
    found = store.find(f"attributes.status = 'FINISHED' and tags.kind = '{STAGE}' and tags.key = '{key}'")
    return f"cached:{found[0].info.run_id}" if found else None


def _copy_metrics(store: Store, tags: dict[str, str], before: dict[str, str], *, parent_id: str) -> None:
    """Copy the final metrics of newly linked runs to the pipeline's run."""
    for name, state in tags.items():
        kind, _, run_id = state.partition(":")
        if name.startswith(STATE) and kind == "cached" and before.get(name) != state:
            metrics = store.client.get_run(run_id).data.metrics
            latest = [store.client.get_metric_history(run_id, metric)[-1] for metric in metrics]
            log_to_pipeline(store, parent_id, name.removeprefix(STATE), latest)
