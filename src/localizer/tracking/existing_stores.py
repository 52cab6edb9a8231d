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
    own, problem = open_own(), ""
    stores = [own] if own else []
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


def open_own() -> Store | None:
    """Return the checkout's store; None where there is none."""
    return open_store() if _database().is_file() else None


def open_shared() -> Store | None:
    """Return the store of the server that MLFLOW_TRACKING_URI names; None where it names none.

    StoreError where it can't be used: what the team shares is there, and this checkout's own is no substitute.
    """
    address = server_address()
    server, problem = _server(address) if address else ([], "")
    if problem:
        raise StoreError(
            f"{problem}; the team's champion is there, so nothing else is asked and nothing is changed: start the "
            "server, or correct MLFLOW_TRACKING_URI (without it, this checkout's own registry is used)"
        )
    return server[0] if server else None


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
