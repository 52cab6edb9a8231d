"""Stages as forked children of one process that has imported what they need, so that many can be killed.

As a script: takes a job a line, as JSON, and answers each with an outcome, in a process whose environment are
those of the script. Without the imports a stage takes about a second.
"""

import importlib
import json
import multiprocessing
import os
import resource
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

OUTPUTS = {"tables", "models", "reports"}
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir")
FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Job:
    """A stage, and what befalls it: SIGKILL after so many seconds, or at its `at`-th change below OUTPUTS.

    end: at that change, `kill` kills before it; `half` lets files grow no longer than 40 bytes from there on, where
    the kernel kills; `full` is a disk with no room beyond these 40 bytes, until something is removed.
    """

    stage: str
    after_s: float | None = None
    at: int = -1
    end: str = "kill"


@dataclass(frozen=True)
class Outcome:
    """How a stage ended: its exit status, what it printed, and the changes that it made below OUTPUTS."""

    status: int
    printed: str
    changes: tuple[str, ...]


@contextmanager
def forks(project: Path, *, drops: bool = False, **changed: str) -> Iterator[Callable[[Job], Outcome]]:
    """Give what runs a job in the project, with changed environment; `drops` also root's right to write anywhere."""
    environment = os.environ | {"PYTHONPATH": "src", "MLFLOW_TRACKING_URI": "", "OMP_NUM_THREADS": "1"} | changed
    process = subprocess.Popen(
        [sys.executable, __file__],
        cwd=project,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=_drop_rights if drops else None,
    )
    assert process.stdin
    assert process.stdout
    given, answers = process.stdin, process.stdout

    def do(job: Job) -> Outcome:
        given.write(json.dumps(asdict(job)) + "\n")
        given.flush()
        return Outcome(**json.loads(answers.readline()))

    with process:
        yield do


def _drop_rights() -> None:
    """Give up the rights of root by which a folder that is read-only for all can be written to."""
    import ctypes

    drop, override, read_search = 24, 1, 2  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    if os.getuid() == 0:
        for right in (override, read_search):
            ctypes.CDLL(None).prctl(drop, right, 0, 0, 0)


def _watch(job: Job, changes: int) -> None:
    """Write each change below OUTPUTS, a line each, to the file descriptor; end at the one that the job names."""
    here, seen = Path.cwd(), 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if not (writes or event in CHANGES) or not isinstance(arguments[0], str | os.PathLike):
            return
        path = Path(os.path.relpath(arguments[0], here))
        if not {*path.parts[:1]} & OUTPUTS:
            return
        os.write(changes, f"{event} {path}\n".encode())
        if event == "os.remove" and job.end == "full":
            _limit(resource.RLIM_INFINITY)
        seen += 1
        if seen - 1 == job.at:
            _end(job.end)

    sys.addaudithook(hook)


def _end(how: str) -> None:
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "half":
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    _limit(40)


def _limit(size: int) -> None:
    """Limit the size of the files that this process writes, in bytes; Python itself ignores the signal of it."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def _work(job: Job, printed: int, changes: int) -> None:
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    sys.argv = [f"stages/{job.stage}.py"]
    _watch(job, changes)
    runpy.run_path(sys.argv[0], run_name="__main__")


def _do(job: Job) -> Outcome:
    pipes = [os.pipe() for _ in range(2)]
    texts = ["", ""]
    process = FORK.Process(target=_work, args=(job, pipes[0][1], pipes[1][1]))
    process.start()

    def read(number: int) -> None:
        with open(pipes[number][0], encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            texts[number] = file.read()

    readers = [threading.Thread(target=read, args=(number,)) for number in range(2)]
    for (_, writing), reader in zip(pipes, readers, strict=True):
        os.close(writing)
        reader.start()
    if job.after_s is not None:
        process.join(timeout=job.after_s)
        process.kill()
    process.join()
    for reader in readers:
        reader.join()
    return Outcome(process.exitcode or 0, texts[0], tuple(texts[1].splitlines()))


if __name__ == "__main__":
    for name in ("mlflow", "mlflow.data.pandas_dataset", "mlflow.store.tracking.sqlalchemy_store"):
        importlib.import_module(name)
    for script in sorted(Path("stages").glob("*.py")):
        runpy.run_path(str(script), run_name="imported")
    for line in sys.stdin:
        print(json.dumps(asdict(_do(Job(**json.loads(line))))), flush=True)
