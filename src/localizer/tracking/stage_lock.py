"""One process per stage in a working folder, even after dvc was killed and left its stage running."""

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
from localizer.tracking.process_id import has_ended, own_process_id, pipeline_process_id, process_id


@contextmanager
def stage_lock(folder: Path, stage: str) -> Iterator[None]:
    """Hold the stage's lock for the working folder; ValueError names the process that holds it.

    folder: where the lock files are. The lock ends with the process, however that ends.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    name = f"{stage}-{hashlib.sha256(str(Path.cwd()).encode()).hexdigest()[:16]}"
    pid_file = folder / f"{name}.pid"
    try:
        with FileLock(folder / f"{name}.lock", timeout=0):
            replace_file(pid_file, str(os.getpid()).encode())
            terminate_with_dvc()
            yield
    except Timeout:
        pid = _read_owner(pid_file)
        raise ValueError(
            f"another {stage} is running in {Path.cwd()}: process {pid}; wait for it to end, or stop it: kill {pid}"
        ) from None


def _read_owner(pid_file: Path) -> str:
    """Return the pid of the running owner, which may have taken the lock just before it writes the file."""
    for _ in range(40):
        pid = pid_file.read_text() if pid_file.is_file() else ""
        if pid.isdigit() and psutil.pid_exists(int(pid)):
            return pid
        time.sleep(0.05)
    return "unknown"


def terminate_with_dvc() -> None:
    """Send this process SIGTERM when the dvc that started it has ended; nothing if a person started it."""
    _terminate_with(pipeline_process_id())


def terminate_with_parent() -> None:
    """Send this process SIGTERM when its parent has ended."""
    _terminate_with(process_id(os.getppid()))


def _terminate_with(process: str) -> None:
    def watch() -> None:
        while not has_ended(process):
            time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGTERM)

    if process != own_process_id():
        threading.Thread(target=watch, daemon=True).start()
