"""One stage of a kind at a time in a working folder, also when dvc was killed and what it had started lives on."""

import hashlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from localizer.files import replace_file
from localizer.tracking import process_id


@contextmanager
def alone(folder: Path, stage: str) -> Iterator[None]:
    """Hold the lock of the stage in the working folder, which lies in `folder`; ValueError names who has it.

    The lock ends with the process, however that ends.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    name = f"{stage}-{hashlib.sha256(str(Path.cwd()).encode()).hexdigest()[:16]}"
    owner = folder / f"{name}.pid"
    try:
        with FileLock(folder / f"{name}.lock", timeout=0):
            replace_file(owner, str(os.getpid()).encode())
            end_with_dvc()
            yield
    except Timeout:
        pid = _running(owner)
        raise ValueError(
            f"another {stage} works in {Path.cwd()}: process {pid}; wait for its end, or stop it: kill {pid}"
        ) from None


def _running(owner: Path) -> str:
    """Return the process in the owner's file, waiting a moment for one that has only just begun to write it."""
    for _ in range(40):
        pid = owner.read_text() if owner.is_file() else ""
        if pid.isdigit() and psutil.pid_exists(int(pid)):
            return pid
        time.sleep(0.05)
    return "unknown"


def end_with_dvc() -> None:
    """Send this process SIGTERM when dvc, which started it, is gone; nothing where a person did."""
    end_with(process_id.this_execution())


def end_with_parent() -> None:
    """Send this process SIGTERM when the process that started it is gone."""
    end_with(process_id.named(os.getppid()))


def end_with(execution: str) -> None:
    """Send this process SIGTERM when the named process is gone: no one would record what it makes."""

    def watch() -> None:
        while not process_id.is_gone(execution):
            time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGTERM)

    if execution != process_id.this_process():
        threading.Thread(target=watch, daemon=True).start()
