"""The run of pooled folds: one row beside those of the pipeline's executions, with the same names of metrics.

Tags: `kind` is `cross-validation`, `folds` their number, `fold.0` and so on the pipeline's runs of the folds,
`in.<path>` the digests of the code and data that they were made from, `out.predictions.csv` that of the predictions.
"""

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from localizer.pipeline.dvc_digest import file_md5
from localizer.pipeline.git_state import GitState
from localizer.pipeline.stage_context import digest_tags
from localizer.tracking.history.evaluations import EVALUATE, FOLDS, PREDICTIONS
from localizer.tracking.history.runs import History
from localizer.tracking.replication.background_sync import BackgroundSync
from localizer.tracking.run_lifecycle import POOLED
from localizer.tracking.store import Store, open_store


def pipeline_run(predictions: Path, digest: str) -> str:
    """Return the id of the pipeline's run whose evaluation wrote predictions of this md5; empty if none is known."""
    runs = History([open_store()]).producers(predictions.as_posix(), digest)
    return str(runs[0].data.tags.get("mlflow.parentRunId", "")) if runs else ""


def log_pooled_run(
    name: str,
    *,
    params: Mapping[str, Any],
    metrics: Mapping[str, float],
    commit: str,
    sources: Mapping[str, str],
    folds: Sequence[str],
    artifacts: Sequence[Path],
    note: str,
) -> str:
    """Return the id of the run of pooled folds, created unless there is one of that name with the same predictions.

    folds: ids of the folds' runs, empty if unknown. artifacts: files and folders, one of them PREDICTIONS.
    """
    store = open_store()
    tags = _tags(folds, commit, artifacts) | {"dataset": str(params.get("prepare.dataset", ""))}
    same = " and ".join(f"tags.`{key}` = '{tags[key]}'" for key in ("kind", "git.commit", f"out.{PREDICTIONS}"))
    if found := store.find(f"attributes.status = 'FINISHED' and attributes.run_name = '{name}' and {same}"):
        return str(found[0].info.run_id)
    run_id = str(store.client.create_run(store.experiment_id, tags=tags, run_name=name).info.run_id)
    sync = BackgroundSync(store, [run_id])
    store.write_params(run_id, params)
    store.write_tags(run_id, digest_tags("in", dict(sources)) | {"mlflow.note.content": note})
    _log_metrics(store, run_id, metrics)
    for path in artifacts:
        store.client.log_artifact(run_id, str(path))
    store.client.set_terminated(run_id, "FINISHED")
    sync.finish()
    return run_id


def _tags(folds: Sequence[str], commit: str, artifacts: Sequence[Path]) -> dict[str, str]:
    digest = next(file_md5(path) for path in artifacts if path.name == PREDICTIONS)
    tags = {"kind": POOLED, FOLDS: str(len(folds)), f"out.{PREDICTIONS}": digest}
    tags |= GitState(commit, ()).tags | {"mlflow.source.name": "localizer cross-validate"}
    return tags | {f"fold.{fold}": run_id for fold, run_id in enumerate(folds) if run_id}


def _log_metrics(store: Store, run_id: str, metrics: Mapping[str, float]) -> None:
    """Log the finite ones under the names that they have on a pipeline's run."""
    from mlflow.entities import Metric

    now = time.time_ns() // 1_000_000
    finite = {key: float(value) for key, value in metrics.items() if math.isfinite(value)}
    store.client.log_batch(
        run_id, metrics=[Metric(f"{EVALUATE}/{key}", value, now, 0) for key, value in finite.items()]
    )
