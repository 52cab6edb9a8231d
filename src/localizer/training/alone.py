"""One training at a time in a working folder, also when dvc was killed and its training lives on."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the lock of the working folder, which lies in `folder`; ValueError names the process that has it.

    The lock ends with the process, however that ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(str(Path.cwd()).encode()).hexdigest()[:16]
    owner = folder / f"train-{name}.pid"
    try:
        with FileLock(folder / f"train-{name}.lock", timeout=0):
            owner.write_text(str(os.getpid()))
            yield
    except Timeout:
        pid = owner.read_text() if owner.is_file() else "unknown"
        raise ValueError(
            f"another training works in {Path.cwd()}: process {pid}; wait for its end, or stop it: kill {pid}"
        ) from None
