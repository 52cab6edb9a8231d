"""The lives of runs: one for an execution of the pipeline, one for each stage in it."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from localizer.pipeline.stage_context import Facts, shared
from localizer.tracking import process_id
from localizer.tracking.store import Store, fitting_key

if TYPE_CHECKING:
    from mlflow.entities import Metric

PIPELINE, STAGE = "pipeline", "stage"
STATE = "stage."
SUCCESSOR, AWAITED = "successor", "awaited"  # on a run that was killed: the next run of its kind, once there is one


def close_dead(store: Store) -> None:
    """Mark as KILLED the runs that are RUNNING though their process is gone; their successors are yet to come."""
    for row in store.find("attributes.status = 'RUNNING'"):
        process = row.data.tags.get("process")
        if process and process_id.is_gone(process):
            store.client.set_terminated(row.info.run_id, "KILLED")
            store.write_tags(row.info.run_id, {SUCCESSOR: AWAITED})


def enter(store: Store, facts: Facts) -> str:
    """Return the run of this execution, RUNNING; the first stage makes it and logs all params."""
    process = process_id.this_execution()
    found = store.find(f"tags.kind = '{PIPELINE}' and tags.process = '{process}'")
    if found:
        parent_id = str(found[0].info.run_id)
        store.client.update_run(parent_id, status="RUNNING")
        store.amend(parent_id, {})
    else:
        tags = {"kind": PIPELINE, "process": process, "mlflow.source.name": "dvc.yaml"}
        parent_id = _create(store, _name(facts), tags)
        store.write_params(parent_id, facts.params)
        _succeed(store, parent_id, f"tags.kind = '{PIPELINE}' and tags.dataset = '{facts.dataset}'")
    store.write_tags(parent_id, shared(facts.tags) | {state_tag(facts.label): "pending", "complete": "false"})
    return parent_id


def start_stage(store: Store, facts: Facts, *, parent_id: str) -> str:
    """Return a new run for the stage, inside of the pipeline's."""
    tags = {"kind": STAGE, "stage": facts.stage, "process": process_id.this_process()}
    shown = {"mlflow.parentRunId": parent_id, "mlflow.source.name": Path(sys.argv[0]).name}
    run_id = _create(store, facts.stage, tags | shown)
    own = {name: value for name, value in facts.params.items() if name.partition(".")[0] == facts.stage}
    store.write_params(run_id, own)
    store.write_tags(run_id, facts.tags | ({"key": facts.key} if facts.key else {}))
    _succeed(store, run_id, f"tags.stage = '{facts.stage}' and tags.dataset = '{facts.dataset}'")
    return run_id


def state_tag(label: str) -> str:
    """Return the tag of the pipeline's run that tells what became of a stage."""
    return fitting_key(f"{STATE}{label}")


def of_stage(stage: str, metrics: "Sequence[Metric]") -> "list[Metric]":
    """Return the metrics as the pipeline's run names them: STAGE/NAME, by which MLflow groups its charts."""
    from mlflow.entities import Metric

    return [Metric(f"{stage}/{one.key}", one.value, one.timestamp, one.step) for one in metrics]


def is_running(store: Store, run_id: str) -> bool:
    """Return whether the run is still open: one that was closed for dead must stay so."""
    return bool(store.client.get_run(run_id).info.status == "RUNNING")


def close(store: Store, run_id: str, status: str) -> None:
    """End the run with a status, unless it has ended."""
    if is_running(store, run_id):
        store.client.set_terminated(run_id, status)


def _succeed(store: Store, run_id: str, alike: str) -> None:
    """Link the run and those before it that were killed, and whose work it takes up."""
    for row in store.find(f"attributes.status = 'KILLED' and tags.{SUCCESSOR} = '{AWAITED}' and {alike}"):
        store.amend(row.info.run_id, {SUCCESSOR: run_id})
        store.write_tags(run_id, {"continues": str(row.info.run_id)})


def _create(store: Store, name: str, tags: dict[str, str]) -> str:
    return str(store.client.create_run(store.experiment_id, tags=tags, run_name=name).info.run_id)


def _name(facts: Facts) -> str:
    return os.environ.get("DVC_EXP_NAME") or f"{facts.dataset} {(facts.source.commit or 'unknown')[:7]}"
