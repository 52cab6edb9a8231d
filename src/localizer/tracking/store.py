"""The MLflow store: where it is, how it is opened, and writing within its limits."""

import os
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric
    from mlflow.entities import Run as Row

EXPERIMENT = "localizer"
EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development",  # else the UI shows its pages for language models
    "mlflow.note.content": (
        "Each row is one execution of the pipeline, with all parameters; below it is a run for each stage that "
        "really ran. The row's metrics are named STAGE/NAME: `evaluate/mean_iou` is the test result, and "
        "`evaluate/mean_box_iou` what a constant box scores there. The chart view shows curves and results of "
        "all rows; tick two and choose Compare to see their parameters and metrics side by side."
    ),
}
LONGEST_KEY, LONGEST_TAG, LONGEST_PARAM = 250, 8000, 6000
ENTRIES_AT_ONCE, METRICS_AT_ONCE = 100, 1000
SETTINGS = {
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}

EntryT = TypeVar("EntryT")


class StoreError(ValueError):
    """The MLflow store can't be used; the message says where it is and what to do."""


@dataclass(frozen=True)
class Store:
    """An open store and the experiment that all runs belong to."""

    client: "MlflowClient"
    experiment_id: str

    def find(self, query: str) -> "list[Row]":
        """Return the runs that MLflow's search finds, newest first."""
        newest_first = ["attributes.start_time DESC"]
        return list(self.client.search_runs([self.experiment_id], query, order_by=newest_first))

    def write_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags; a longer value than MLflow takes is cut."""
        from mlflow.entities import RunTag

        entries = [RunTag(fitting_key(key), _cut(value, LONGEST_TAG)) for key, value in tags.items()]
        for some in _portions(entries, ENTRIES_AT_ONCE):
            self.client.log_batch(run_id, tags=some)

    def write_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        """Log params, once a run; a longer value than MLflow takes is cut."""
        from mlflow.entities import Param

        entries = [Param(fitting_key(key), _cut(str(value), LONGEST_PARAM)) for key, value in params.items()]
        for some in _portions(entries, ENTRIES_AT_ONCE):
            self.client.log_batch(run_id, params=some)

    def write_metrics(self, run_id: str, metrics: "list[Metric]") -> None:
        """Log metrics; the same ones again change nothing."""
        for some in _portions(metrics, METRICS_AT_ONCE):
            self.client.log_batch(run_id, metrics=some)


def open_store() -> Store:
    """Return the store at MLFLOW_TRACKING_URI, else in the main checkout; StoreError if it can't be used."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    import mlflow  # before the lock is taken, since this takes seconds
    from filelock import FileLock

    main = main_checkout()
    address = _address(main)
    (main / ".localizer").mkdir(exist_ok=True)
    # Held for a store that exists, too: a new database's file is there before its tables are.
    with FileLock(main / ".localizer" / "tracking.lock"):
        try:
            mlflow.set_tracking_uri(address)
            client = mlflow.MlflowClient(address)
            return Store(client, _experiment(client, _artifacts(address, main)))
        except mlflow.MlflowException as error:
            raise StoreError(_explain(error, address)) from None


def main_checkout() -> Path:
    """Return the folder that holds database and caches, even while DVC works in a temporary copy of it."""
    if root := os.environ.get("DVC_ROOT"):
        return Path(root)
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / ".dvc").is_dir()), here)


def fitting_key(key: str) -> str:
    """Return the key as MLflow takes it: `_` for other characters, a plain relative path, not too long."""
    allowed = re.sub(r"[^/\w.\- ]", "_", key)
    return posixpath.normpath(allowed.replace("../", "__/").lstrip("/") or "_")[:LONGEST_KEY].rstrip("/")


def _cut(value: str, longest: int) -> str:
    return value if len(value) <= longest else value[: longest - 1] + "…"


def _portions(entries: list[EntryT], size: int) -> Iterator[list[EntryT]]:
    return (entries[start : start + size] for start in range(0, len(entries), size))


def _address(main: Path) -> str:
    address = os.environ.get("MLFLOW_TRACKING_URI", "").strip() or "sqlite:///mlflow.db"
    scheme, slashes, path = address.partition(":///")
    # A relative database belongs to the main checkout: the working directory may be a copy that DVC deletes.
    return f"{scheme}{slashes}{(main / path).as_posix()}" if scheme.startswith("sqlite") and path else address


def _artifacts(address: str, main: Path) -> str | None:
    """Return where artifacts go; None where the server decides."""
    served = urlsplit(address).scheme in ("http", "https", "databricks")
    return None if served else (main / "mlartifacts").as_uri()


def _experiment(client: "MlflowClient", artifacts: str | None) -> str:
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return client.create_experiment(name, artifact_location=artifacts, tags=EXPERIMENT_TAGS)
    if experiment.lifecycle_stage != "active":
        raise StoreError(
            f"the MLflow experiment {name!r} is deleted: restore it with `mlflow experiments restore "
            f"-x {experiment.experiment_id}`, or set MLFLOW_EXPERIMENT_NAME to another name"
        )
    return experiment.experiment_id


def _explain(error: Exception, address: str) -> str:
    parts = urlsplit(address)
    shown = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))  # without a password
    if "API request to" in str(error):
        cause = "no MLflow server answers there"
    else:
        cause = str(error).splitlines()[0].replace(address, shown)
    return (
        f"{shown}: {cause}; start the server, or correct MLFLOW_TRACKING_URI, "
        "or unset it to use mlflow.db in the checkout"
    )
