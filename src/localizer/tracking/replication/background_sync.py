"""Sending runs to the MLflow server while a stage works; the stage waits for it only at its end, and not for long."""

import sys
import threading

from localizer.tracking.errors import UNREACHABLE, StoreError, explain, redact_credentials
from localizer.tracking.replication.replicator import Replicator
from localizer.tracking.store import Store, connect, main_checkout, open_store, server_uri

FINISH_TIMEOUT = 5  # seconds that each stage may wait at its end
NEXT_PASS, NEXT_TRY = 10, 60  # seconds after a pass that succeeded, and after one that failed
LOCK_TIMEOUT = 20  # seconds in which another process must end its pass


class FilesGoneError(StoreError):
    """A run couldn't be sent completely, because files of it are gone; all others were."""


class BackgroundSync:
    """A thread that copies runs to the server while a stage works; does nothing if there is no server."""

    def __init__(self, store: Store, run_ids: list[str]) -> None:
        self._store, self._run_ids, self._uri = store, run_ids, server_uri()
        self._stop, self._problem = threading.Event(), f"not done within {FINISH_TIMEOUT} seconds"
        self._unfinished = True
        if self._uri:
            self._thread = threading.Thread(target=self._work, args=(self._uri,), daemon=True)
            self._thread.start()

    def finish(self) -> None:
        """Send the rest, for FINISH_TIMEOUT at most, and print a message if something couldn't be sent."""
        self._stop.set()
        if self._uri:
            self._thread.join(timeout=FINISH_TIMEOUT)
            if self._unfinished:
                print(
                    f"MLflow server {redact_credentials(self._uri)}: {self._problem}; the runs are kept in mlflow.db, "
                    "and the next stage or `localizer sync` sends them",
                    file=sys.stderr,
                )

    def _work(self, uri: str) -> None:
        replicator, with_earlier, last = None, True, False
        while not last:
            last = self._stop.is_set()
            try:
                replicator = replicator or Replicator(self._store, connect(uri))
                send(replicator, [*self._run_ids, *(replicator.unsent() if with_earlier else [])])
                with_earlier, self._unfinished, pause = False, not last, NEXT_PASS
            except Exception as error:  # whatever the server answers, the stage goes on
                with_earlier, self._unfinished, pause, self._problem = True, True, NEXT_TRY, explain(error)
                replicator = None  # what it has seen on the server may no longer be true
            self._stop.wait(pause)


def sync() -> tuple[str, list[str]]:
    """Send all runs that the server lacks or has incompletely; return its address and their ids.

    The server's own list decides: runs that were sent before, but that it has lost, are sent again. StoreError if no
    server is named, or it fails; FilesGoneError if nothing else failed.
    """
    from mlflow import MlflowException

    uri = server_uri()
    if uri is None:
        raise StoreError("MLFLOW_TRACKING_URI names no MLflow server; set it to the server's address")
    store, address = open_store(), redact_credentials(uri)
    try:
        replicator = Replicator(store, connect(uri))
        missing = replicator.missing_on_server()
        send(replicator, missing)
    except FileNotFoundError as error:
        raise FilesGoneError(f"{error}; the other runs are on {address}") from None
    except (MlflowException, OSError) as error:
        cause = explain(error)
        fix = "start the server, or correct MLFLOW_TRACKING_URI" if cause == UNREACHABLE else "fix that"
        raise StoreError(
            f"MLflow server {address}: {cause}; nothing is lost: {fix}, and run `localizer sync` again"
        ) from None
    return address, missing


def send(replicator: Replicator, run_ids: list[str]) -> None:
    """Copy the runs; FileNotFoundError, at the end, names the first local file that is gone."""
    from filelock import FileLock

    with FileLock(main_checkout() / ".localizer" / "sending.lock", timeout=LOCK_TIMEOUT):
        errors = []
        for run_id in dict.fromkeys(run_ids):
            try:
                replicator.copy(run_id)
            except FileNotFoundError as error:  # the other runs can still be sent
                errors.append(error)
        if errors:
            raise errors[0]
