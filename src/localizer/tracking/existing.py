"""The stores that are there, opened to be read: where there is none, none is made."""

import os
from pathlib import Path
from typing import NamedTuple

from localizer.tracking.store import (
    DATABASE,
    Store,
    StoreError,
    explain,
    main_checkout,
    open_server,
    open_store,
    server_address,
    without_user_info,
)


class Existing(NamedTuple):
    """The checkout's store and the server's, as far as they are there; `problem` is why the server's is not."""

    stores: list[Store]
    problem: str


def open_existing() -> Existing:
    """Return the stores that are there; StoreError if there is none."""
    database, address = _database(), server_address()
    stores, problem = [open_store()] if database.is_file() else [], ""
    if address:
        server, problem = _server(address)
        stores += server
    if not stores and problem:
        raise StoreError(f"{problem}; start it, or correct MLFLOW_TRACKING_URI")
    if not stores:
        raise StoreError(
            f"{database}: no such file, so there are no runs here: `dvc repro` makes them, or set MLFLOW_TRACKING_URI "
            "to the store that has them"
        )
    return Existing(stores, f"{problem}; only {database} is searched" if problem else "")


def _server(address: str) -> tuple[list[Store], str]:
    from mlflow import MlflowException

    try:
        return [open_server(address)], ""
    except MlflowException as error:
        return [], f"MLflow server {without_user_info(address)}: {explain(error)}"


def _database() -> Path:
    """Return the file that `open_store` would make where it is missing."""
    named = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    return main_checkout() / (named if named.startswith("sqlite") else DATABASE).partition(":///")[2]
