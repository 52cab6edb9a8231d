"""The MLflow stores: the database of the main checkout, and the server that MLFLOW_TRACKING_URI names.

All runs are written to the database. The server gets copies, so that it may be away at any time.
"""

import logging
import os
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from localizer.tracking.errors import StoreError, explain, redact_credentials

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun

EXPERIMENT = "localizer"
EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development",  # else the UI shows its pages for language models
    "mlflow.note.content": (
        "To see results here: Columns, Metrics, tick `evaluate/mean_iou` and `evaluate/gain_over_mean_box`. "
        "Each row is one execution of the pipeline, with all parameters; below it is a run for each stage that "
        "really ran. The row's metrics are named STAGE/NAME: `evaluate/mean_iou` is the test result, and "
        "`evaluate/mean_box_iou` the result of a constant box; `report.html` among its artifacts has all of it. "
        "The chart view shows curves and results of all rows; tick two and choose Compare to see their parameters and "
        "metrics side by side, or run `localizer compare RUN RUN` to test whether one is better beyond luck."
    ),
}
DATABASE = "sqlite:///mlflow.db"  # in the main checkout
LONGEST_KEY, LONGEST_TAG, LONGEST_PARAM = 250, 8000, 6000  # characters that MLflow takes
SENT, COMPLETE = "sent.", " whole"  # a tag for each server: the id of the copy there, and whether it is complete
SETTINGS = {
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",  # from the bucket's own address, which only the server may reach
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


@dataclass(frozen=True)
class Store:
    """An open store, and the experiment that all runs belong to."""

    client: "MlflowClient"
    experiment_id: str

    @property
    def address(self) -> str:
        """Return the store's tracking URI, without credentials."""
        return redact_credentials(self.client.tracking_uri)

    def find(self, query: str, *, view: str = "active_only") -> "list[MlflowRun]":
        """Return the runs that MLflow's search finds, newest first; with the view `all`, deleted ones too."""
        from mlflow.entities import ViewType

        kind, order = ViewType.from_string(view), ["attributes.start_time DESC"]
        return list(all_pages(partial(self.client.search_runs, [self.experiment_id], query, kind, order_by=order)))

    def write_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags; a value that is too long for MLflow is cut."""
        from mlflow.entities import RunTag

        self.client.log_batch(run_id, tags=[RunTag(*entry) for entry in _fit(tags, LONGEST_TAG)])

    def write_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        """Log params, once per run; a value that is too long for MLflow is cut."""
        from mlflow.entities import Param

        self.client.log_batch(run_id, params=[Param(*entry) for entry in _fit(params, LONGEST_PARAM)])

    def amend(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run that may have ended long ago, and mark its copies on servers as incomplete."""
        sent = {name: value for name, value in self.client.get_run(run_id).data.tags.items() if name.startswith(SENT)}
        self.write_tags(run_id, {name: value.removesuffix(COMPLETE) for name, value in sent.items()} | dict(tags))


def open_store() -> Store:
    """Return the main checkout's store, created if it is missing; StoreError if it can't be used."""
    _set_defaults()
    import mlflow  # before the lock is taken, since this takes seconds
    from filelock import FileLock

    main, uri = main_checkout(), _database_uri()
    (main / ".localizer").mkdir(exist_ok=True)
    # Locked for an existing store, too: a new database's file exists before its tables do.
    with FileLock(main / ".localizer" / "tracking.lock"):
        try:
            named = os.environ.get("MLFLOW_TRACKING_URI", "")
            mlflow.set_tracking_uri(uri)
            os.environ["MLFLOW_TRACKING_URI"] = named  # which set_tracking_uri has overwritten
            store = connect(uri)
        except mlflow.MlflowException as error:
            raise StoreError(
                f"{redact_credentials(uri)}: {explain(error)}; correct MLFLOW_TRACKING_URI, or unset it to use "
                "mlflow.db in the checkout"
            ) from None
    for name in logging.root.manager.loggerDict:
        if name.startswith("localizer"):  # creating a database has disabled all loggers that existed
            logging.getLogger(name).disabled = False
    return store


def open_own() -> Store | None:
    """Return the main checkout's store; None if it has none."""
    return open_store() if database_file().is_file() else None


def open_existing() -> tuple[list[Store], str]:
    """Return the stores that exist, and why the server's is not among them; StoreError if there is none."""
    own = open_own()
    server, problem = _try_server()
    stores = [store for store in (own, server) if store]
    if not stores and problem:
        raise StoreError(f"{problem}; start it, or correct MLFLOW_TRACKING_URI")
    if not stores:
        raise StoreError(
            f"{database_file()}: no such file, so there are no runs here: run `dvc repro`, or set "
            "MLFLOW_TRACKING_URI to the store that has them"
        )
    return stores, f"{problem}; only {database_file()} is searched" if problem else ""


def open_shared() -> Store | None:
    """Return the store of the server that MLFLOW_TRACKING_URI names, None if it names none.

    StoreError if the server can't be used: the checkout's own store is no substitute for what the team shares.
    """
    server, problem = _try_server()
    if problem:
        raise StoreError(
            f"{problem}; the team's champion is there, so no other store is used and nothing is changed: start the "
            "server, or correct MLFLOW_TRACKING_URI (without it, this checkout's own registry is used)"
        )
    return server


def _try_server() -> tuple[Store | None, str]:
    """Return the server's store, None if there is none; and the problem if it can't be used."""
    uri = server_uri()
    if uri is None:
        return None, ""
    _set_defaults()
    from mlflow import MlflowException

    try:
        return connect(uri), ""
    except MlflowException as error:
        return None, f"MLflow server {redact_credentials(uri)}: {explain(error)}"


def server_uri() -> str | None:
    """Return the URI of the server that gets copies of the runs; None if MLFLOW_TRACKING_URI names none."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    return None if not uri or uri.startswith("sqlite") else uri


def _database_uri() -> str:
    """Return the database's URI; a relative path is below the main checkout, as DVC may delete the working folder."""
    named = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    scheme, slashes, path = (named if named.startswith("sqlite") else DATABASE).partition(":///")
    return f"{scheme}{slashes}{(main_checkout() / path).as_posix()}" if path else scheme


def database_file() -> Path:
    return Path(_database_uri().partition(":///")[2])


def _set_defaults() -> None:
    """Set SETTINGS that aren't set; before mlflow is imported, since it reads some of them then (telemetry's)."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)


def connect(uri: str) -> Store:
    """Return the store at a tracking URI, with its experiment; MlflowException or StoreError if it can't be used."""
    _set_defaults()
    from mlflow import MlflowClient, MlflowException

    client, name = MlflowClient(uri), os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        served = urlsplit(uri).scheme in (
            "http",
            "https",
            "databricks",
        )  # by a server, which has its own artifact store
        artifacts = None if served else (main_checkout() / "mlartifacts").as_uri()
        try:
            return Store(client, client.create_experiment(name, artifact_location=artifacts, tags=EXPERIMENT_TAGS))
        except MlflowException:
            experiment = client.get_experiment_by_name(name)  # another pipeline may have created it meanwhile
            if experiment is None:
                raise
    if experiment.lifecycle_stage != "active":
        raise StoreError(
            f"the MLflow experiment {name!r} is deleted: restore it with `mlflow experiments restore "
            f"-x {experiment.experiment_id}`, or set MLFLOW_EXPERIMENT_NAME to another name"
        )
    return Store(client, experiment.experiment_id)


def main_checkout() -> Path:
    """Return the folder with the database and caches, even while DVC works in a temporary copy of the checkout."""
    if root := os.environ.get("DVC_ROOT"):
        return Path(root)
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / ".dvc").is_dir()), here)


def all_pages(search: Callable[..., Any]) -> Iterator[Any]:
    """Yield what a search of MLflow finds, from all pages."""
    page = search()
    yield from page
    while page.token:
        page = search(page_token=page.token)
        yield from page


def local_path(uri: str) -> Path | None:
    """Return the path of an artifact URI; None if the artifacts are on a server."""
    parts = urlsplit(uri)
    return Path(unquote(parts.path)) if parts.scheme in ("", "file") else None


def sanitize_key(key: str) -> str:
    """Return the key as MLflow takes it: `_` for other characters, a plain relative path, not too long."""
    allowed = re.sub(r"[^/\w.\- ]", "_", key)
    return posixpath.normpath(allowed.replace("../", "__/").lstrip("/") or "_")[:LONGEST_KEY].rstrip("/")


def _fit(entries: Mapping[str, Any], longest: int) -> Iterator[tuple[str, str]]:
    for key, value in entries.items():
        text = redact_credentials(str(value))
        yield sanitize_key(key), text if len(text) <= longest else f"{text[: longest - 1]}…"
