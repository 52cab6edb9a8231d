"""Sending runs to the MLflow server, beside the work of a stage, which never waits for it but at its end."""

import sys
import threading

from localizer.tracking.replication.copy import Replicator
from localizer.tracking.store import (
    UNANSWERED,
    Store,
    StoreError,
    explain,
    main_checkout,
    open_server,
    server_address,
    without_user_info,
)

LONGEST_WAIT = 5  # seconds at a stage's end, of which there are five
NEXT_PASS, NEXT_TRY = 10, 60  # seconds after a pass that went well, and after one that failed
LONGEST_HOLD = 20  # seconds for another process to end its pass


class FilesGoneError(StoreError):
    """A run couldn't be sent whole, because files of it are gone; all others were."""


class Sending:
    """A thread that copies runs to the server while a stage works; does nothing where there is no server."""

    def __init__(self, store: Store, own: list[str]) -> None:
        self._store, self._own, self._address = store, own, server_address()
        self._stop, self._problem = threading.Event(), "it is slow"
        self._left = True
        if self._address:
            self._thread = threading.Thread(target=self._work, args=(self._address,), daemon=True)
            self._thread.start()

    def finish(self) -> None:
        """Send what is left, for a few seconds at most, and tell what couldn't be sent."""
        self._stop.set()
        if self._address:
            self._thread.join(timeout=LONGEST_WAIT)
            if self._left:
                print(
                    f"MLflow server {without_user_info(self._address)}: {self._problem}; the runs are kept in "
                    "mlflow.db, and the next stage sends them, or `localizer sync`",
                    file=sys.stderr,
                )

    def _work(self, address: str) -> None:
        copier, earlier, last = None, True, False
        while not last:
            last = self._stop.is_set()
            try:
                copier = copier or Replicator(self._store, open_server(address), address=without_user_info(address))
                _pass(copier, [*self._own, *(copier.unsent() if earlier else [])])
                earlier, self._left, pause = False, not last, NEXT_PASS
            except Exception as error:  # whatever the server answers, the stage goes on
                earlier, self._left, pause, self._problem = True, True, NEXT_TRY, explain(error)
                copier = None  # what it knows of the server may be over
            self._stop.wait(pause)


def sync() -> tuple[str, list[str]]:
    """Send all runs that the server doesn't have whole; return its address without user info, and their ids.

    It is asked which it has: those that were sent once are sent again where it has lost them.
    StoreError where no server is named or it can't be reached; FilesGoneError where that is all that is wrong.
    """
    from mlflow import MlflowException

    from localizer.tracking.store import open_store

    address = server_address()
    if address is None:
        raise StoreError("MLFLOW_TRACKING_URI names no MLflow server; set it to the server's address")
    store = open_store()
    try:
        copier = Replicator(store, open_server(address), address=without_user_info(address))
        unsent = copier.lacking()
        _pass(copier, unsent)
    except FileNotFoundError as error:
        raise FilesGoneError(f"{error}; the other runs are on {without_user_info(address)}") from None
    except (MlflowException, OSError) as error:
        cause = explain(error)
        advice = "start the server, or correct MLFLOW_TRACKING_URI" if cause == UNANSWERED else "mend that"
        raise StoreError(
            f"MLflow server {without_user_info(address)}: {cause}; nothing is lost: {advice}, and call "
            "`localizer sync` again"
        ) from None
    return without_user_info(address), unsent


def _pass(copier: Replicator, run_ids: list[str]) -> None:
    """Copy the runs; FileNotFoundError, at the end, names the first file of ours that is gone."""
    from filelock import FileLock

    folder = main_checkout() / ".localizer"
    with FileLock(folder / "sending.lock", timeout=LONGEST_HOLD):
        gone = []
        for run_id in dict.fromkeys(run_ids):
            try:
                copier.copy(run_id)
            except FileNotFoundError as error:  # files of ours; the other runs can be sent
                gone.append(error)
        if gone:
            raise gone[0]
