"""The MLflow stores: where they are, how they are opened, and writing within their limits.

All runs are written to the database of the main checkout. A server that MLFLOW_TRACKING_URI names gets copies, so
that it may be away at any time.
"""

import logging
import os
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric
    from mlflow.entities import Run as Row

EXPERIMENT = "localizer"
EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development",  # else the UI shows its pages for language models
    "mlflow.note.content": (
        "To see results here: Columns, Metrics, tick `evaluate/mean_iou` and `evaluate/gain_over_mean_box`. "
        "Each row is one execution of the pipeline, with all parameters; below it is a run for each stage that "
        "really ran. The row's metrics are named STAGE/NAME: `evaluate/mean_iou` is the test result, and "
        "`evaluate/mean_box_iou` what a constant box scores there; `report.html` among its artifacts tells all of it. "
        "The chart view shows curves and results of all rows; tick two and choose Compare to see their parameters and "
        "metrics side by side, or ask `localizer compare RUN RUN` whether one is better beyond luck."
    ),
}
DATABASE = "sqlite:///mlflow.db"  # in the main checkout
LONGEST_KEY, LONGEST_TAG, LONGEST_PARAM = 250, 8000, 6000
ENTRIES_AT_ONCE, METRICS_AT_ONCE = 100, 1000
UNANSWERED = "no one answers there"
SENT, WHOLE = "sent.", " whole"  # a tag for each server: its run's id, and whether it has all of it
SETTINGS = {
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",  # by the bucket's own address, which may be the server's alone
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}

EntryT = TypeVar("EntryT")


class StoreError(ValueError):
    """The MLflow store can't be used; the message says where it is and what to do."""


@dataclass(frozen=True)
class Store:
    """An open store and the experiment that all runs belong to."""

    client: "MlflowClient"
    experiment_id: str

    def find(self, query: str, *, view: str = "active_only") -> "list[Row]":
        """Return the runs that MLflow's search finds, newest first; deleted ones, too, where the view is `all`."""
        from mlflow.entities import ViewType

        found: list[Row] = []
        kind = ViewType.from_string(view)
        more: str | None = ""
        while more is not None:
            page = self.client.search_runs(
                [self.experiment_id], query, kind, order_by=["attributes.start_time DESC"], page_token=more or None
            )
            found, more = [*found, *page], page.token or None
        return found

    def write_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags; a longer value than MLflow takes is cut."""
        from mlflow.entities import RunTag

        plain = {key: without_user_info(value) for key, value in tags.items()}
        entries = [RunTag(fitting_key(key), _cut(value, LONGEST_TAG)) for key, value in plain.items()]
        for some in _portions(entries, ENTRIES_AT_ONCE):
            self.client.log_batch(run_id, tags=some)

    def amend(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run that may have ended long ago, and note that servers don't have all of it."""
        sent = {name: value for name, value in self.client.get_run(run_id).data.tags.items() if name.startswith(SENT)}
        self.write_tags(run_id, {name: value.removesuffix(WHOLE) for name, value in sent.items()} | dict(tags))

    def write_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        """Log params, once a run; a longer value than MLflow takes is cut."""
        from mlflow.entities import Param

        plain = {key: without_user_info(str(value)) for key, value in params.items()}
        entries = [Param(fitting_key(key), _cut(value, LONGEST_PARAM)) for key, value in plain.items()]
        for some in _portions(entries, ENTRIES_AT_ONCE):
            self.client.log_batch(run_id, params=some)

    def write_metrics(self, run_id: str, metrics: "list[Metric]") -> None:
        """Log metrics; the same ones again change nothing."""
        for some in _portions(metrics, METRICS_AT_ONCE):
            self.client.log_batch(run_id, metrics=some)


def open_store() -> Store:
    """Return the store of the main checkout, made if it is missing; StoreError if it can't be used."""
    main = main_checkout()
    named = _named_address()
    address = named if named.startswith("sqlite") else DATABASE
    scheme, slashes, path = address.partition(":///")
    # A relative database belongs to the main checkout: the working directory may be a copy that DVC deletes.
    address = f"{scheme}{slashes}{(main / path).as_posix()}" if path else address
    (main / ".localizer").mkdir(exist_ok=True)
    return _open(address, artifacts=(main / "mlartifacts").as_uri(), main=main)


def open_server(address: str) -> Store:
    """Return the store of a server; MlflowException if it can't be used."""
    served = urlsplit(address).scheme in ("http", "https", "databricks")
    main = main_checkout()
    return _connect(address, artifacts=None if served else (main / "mlartifacts").as_uri())


def server_address() -> str | None:
    """Return where MLFLOW_TRACKING_URI says that copies of the runs go; None if it names no server."""
    address = _named_address()
    return None if not address or address.startswith("sqlite") else address


def _open(address: str, *, artifacts: str, main: Path) -> Store:
    _settle()
    import mlflow  # before the lock is taken, since this takes seconds
    from filelock import FileLock

    # Held for a store that exists, too: a new database's file is there before its tables are.
    with FileLock(main / ".localizer" / "tracking.lock"):
        try:
            named = os.environ.get("MLFLOW_TRACKING_URI", "")
            mlflow.set_tracking_uri(address)
            os.environ["MLFLOW_TRACKING_URI"] = named  # which that has overwritten
            store = _connect(address, artifacts=artifacts)
        except mlflow.MlflowException as error:
            raise StoreError(
                f"{without_user_info(address)}: {explain(error)}; correct MLFLOW_TRACKING_URI, or unset it to use "
                "mlflow.db in the checkout"
            ) from None
    for name in logging.root.manager.loggerDict:
        if name.startswith("localizer"):  # making a database has switched off all loggers that there were
            logging.getLogger(name).disabled = False
    return store


def _connect(address: str, *, artifacts: str | None) -> Store:
    _settle()
    from mlflow import MlflowClient

    client = MlflowClient(address)
    return Store(client, _experiment(client, artifacts))


def _settle() -> None:
    """Set SETTINGS where nobody did; before mlflow is imported, as it reads some of them, telemetry's too, then."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)


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


def _named_address() -> str:
    return os.environ.get("MLFLOW_TRACKING_URI", "").strip()


def _experiment(client: "MlflowClient", artifacts: str | None) -> str:
    from mlflow import MlflowException

    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return client.create_experiment(name, artifact_location=artifacts, tags=EXPERIMENT_TAGS)
        except MlflowException:
            experiment = client.get_experiment_by_name(name)  # which another pipeline may have made meanwhile
            if experiment is None:
                raise
    if experiment.lifecycle_stage != "active":
        raise StoreError(
            f"the MLflow experiment {name!r} is deleted: restore it with `mlflow experiments restore "
            f"-x {experiment.experiment_id}`, or set MLFLOW_EXPERIMENT_NAME to another name"
        )
    return experiment.experiment_id


def without_user_info(text: str) -> str:
    """Return the text, in which every address has lost its name and password: https://me:pw@host gives https://host."""
    return re.sub(r"(?<=://)[^/\s@]*@", "", text)


def explain(error: Exception) -> str:
    """Return what is wrong with a store, and what to do where that is known, in a line that has no password."""
    text = str(error) or type(error).__name__
    if found := re.search(r"error code (\d{3})|too many (\d{3}) error responses|^(\d{3}) \w+ Error", text):
        return _refused(int(found[1] or found[2] or found[3]), text)
    if "API request to" not in text:
        return without_user_info(text.splitlines()[0])
    return "it doesn't answer in time" if re.search("timeout|timed out", text, re.IGNORECASE) else UNANSWERED


def _refused(status: int, text: str) -> str:
    """Return what a server's answer means; the text has the address of what was asked for, and MLflow's reason."""
    asked = re.search(r"/(?:ajax-)?api/[\w./\-]+", text)
    where = f"({status} to {asked[0]})" if asked else f"({status})"
    if status == 401:
        return f"it refuses name and password {where}: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    if status == 403 and "Invalid Host" in text:
        return f"it takes no requests for this host's name {where}: add the name to the server's --allowed-hosts"
    if status == 403:
        return f"its user isn't allowed to do this {where}: ask the server's administrator"
    if status >= 500 and "mlflow-artifacts" in text:
        return (
            f"it can't use its store of files {where}: the bucket may be full or away, or the server's key for it "
            "expired; the server's log has the cause"
        )
    return f"it answers with an error {where}"
