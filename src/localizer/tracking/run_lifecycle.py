"""Start and end of runs: one per execution of the pipeline, and one for each of its stages."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from localizer.pipeline.stage_context import StageContext, without_code
from localizer.tracking.process_id import has_ended, own_process_id, pipeline_process_id
from localizer.tracking.store import Store, sanitize_key

if TYPE_CHECKING:
    from mlflow.entities import Metric

PIPELINE, STAGE, POOLED = "pipeline", "stage", "cross-validation"
STATE = "stage."  # before a stage's name: a tag of the pipeline's run
SUCCESSOR, AWAITED = "successor", "awaited"  # on a killed run: the next run of its kind, once there is one


def close_dead_runs(store: Store) -> None:
    """Mark the RUNNING runs whose process has ended as KILLED, and as waiting for a successor."""
    for run in store.find("attributes.status = 'RUNNING'"):
        process = run.data.tags.get("process")
        if process and has_ended(process):
            store.client.set_terminated(run.info.run_id, "KILLED")
            store.write_tags(run.info.run_id, {SUCCESSOR: AWAITED})


def start_pipeline_run(store: Store, context: StageContext) -> str:
    """Return the id of this execution's run, RUNNING; the first stage creates it and logs all params."""
    process = pipeline_process_id()
    found = store.find(f"tags.kind = '{PIPELINE}' and tags.process = '{process}'")
    if found:
        parent_id = str(found[0].info.run_id)
        store.client.update_run(parent_id, status="RUNNING")
        store.amend(parent_id, {})
    else:
        name = os.environ.get("DVC_EXP_NAME") or f"{context.dataset} {(context.git.commit or 'unknown')[:7]}"
        parent_id = _create(store, name, {"kind": PIPELINE, "process": process, "mlflow.source.name": "dvc.yaml"})
        store.write_params(parent_id, context.params)
        _continue_killed(store, parent_id, f"tags.kind = '{PIPELINE}' and tags.dataset = '{context.dataset}'")
    store.write_tags(parent_id, without_code(context.tags) | {state_tag(context.label): "pending", "complete": "false"})
    return parent_id


def start_stage_run(store: Store, context: StageContext, *, parent_id: str) -> str:
    """Return the id of a new run for the stage, inside of the pipeline's."""
    tags = {"kind": STAGE, "stage": context.stage, "process": own_process_id()}
    tags |= {"mlflow.parentRunId": parent_id, "mlflow.source.name": Path(sys.argv[0]).name}
    run_id = _create(store, context.stage, tags)
    store.write_params(run_id, context.stage_params)
    store.write_tags(run_id, context.tags | ({"key": context.key} if context.key else {}))
    _continue_killed(store, run_id, f"tags.stage = '{context.stage}' and tags.dataset = '{context.dataset}'")
    return run_id


def state_tag(label: str) -> str:
    """Return the tag of the pipeline's run that has a stage's state."""
    return sanitize_key(f"{STATE}{label}")


def log_to_pipeline(store: Store, parent_id: str, stage: str, metrics: "Sequence[Metric]") -> None:
    """Log a stage's metrics to the pipeline's run, as STAGE/NAME: MLflow groups its charts by that prefix."""
    from mlflow.entities import Metric

    named = [Metric(f"{stage}/{metric.key}", metric.value, metric.timestamp, metric.step) for metric in metrics]
    store.client.log_batch(parent_id, metrics=named)


def is_running(store: Store, run_id: str) -> bool:
    """Return whether the run hasn't been closed: one that a later start has marked as KILLED must stay so."""
    return bool(store.client.get_run(run_id).info.status == "RUNNING")


def _continue_killed(store: Store, run_id: str, kind: str) -> None:
    """Link the run with the killed ones of its kind, whose work it continues."""
    for killed in store.find(f"attributes.status = 'KILLED' and tags.{SUCCESSOR} = '{AWAITED}' and {kind}"):
        store.amend(killed.info.run_id, {SUCCESSOR: run_id})
        store.write_tags(run_id, {"continues": str(killed.info.run_id)})


def _create(store: Store, name: str, tags: dict[str, str]) -> str:
    return str(store.client.create_run(store.experiment_id, tags=tags, run_name=name).info.run_id)
