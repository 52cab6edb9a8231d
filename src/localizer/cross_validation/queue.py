"""DVC's queue of experiments: what is in it, adding to it, and its workers.

Its contents are read from DVC's own objects, since `dvc queue status` prints no machine-readable form. Workers rewrite
their files meanwhile, so that a reading may fail, and is repeated.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Literal, TypeVar

import psutil

State = Literal["missing", "queued", "running", "failed", "finished"]

READINGS, READING_PAUSE = 10, 0.5  # seconds
LOG_LINES = 40  # of a failed experiment, the last ones
T = TypeVar("T")


class ExperimentQueue:
    """The queue of a project, and its experiments on one commit. repo: of DVC."""

    def __init__(self, repo: Any, commit: str) -> None:
        self._repo, self._commit = repo, commit

    @property
    def _queue(self) -> Any:
        return self._repo.experiments.celery_queue

    def states(self, names: Iterable[str]) -> dict[str, State]:
        """Return the state of each experiment."""
        # In the order of an experiment's life, so that one that moves on meanwhile isn't missed.
        queued, started, active = (_read(read) for read in (self._queued, self._started, self._active))
        found = {name: self.finished(name) for name in names}

        def state(name: str) -> State:
            if name in active or name in queued:
                return "running" if name in active else "queued"
            return "finished" if found[name] else "failed" if name in started else "missing"

        return {name: state(name) for name in found}

    def finished(self, name: str) -> str | None:
        """Return the commit of a finished experiment."""
        from dvc.repo.experiments.refs import ExpRefInfo

        return self._repo.scm.get_ref(str(ExpRefInfo(self._commit, name))) or None

    def log(self, name: str) -> str:
        """Return the last lines that a started experiment printed."""
        process = self._queue.proc.get(_read(self._started).get(name, ""))
        if process is None or not Path(process.stdout).is_file():
            return "it failed before its first stage; `.dvc/tmp/exps/celery/` has the workers' logs"
        lines = Path(process.stdout).read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-LOG_LINES:])

    def add(self, name: str, overrides: Sequence[str]) -> None:
        """Queue an experiment, in place of a failed one of that name."""
        if failed := _read(self._started).get(name):
            run_dvc("queue", "remove", failed)
        changes = [word for override in overrides for word in ("--set-param", override)]
        run_dvc("exp", "run", "--queue", "--name", name, *changes)

    def start_workers(self, jobs: int) -> None:
        """Start workers up to `jobs`, each with its share of the cores unless OMP_NUM_THREADS is set."""
        if self.workers() >= jobs:
            return
        threads = max(1, len(os.sched_getaffinity(0)) // jobs)
        shared = {"OMP_NUM_THREADS": str(threads)} if jobs > 1 and "OMP_NUM_THREADS" not in os.environ else {}
        run_dvc("queue", "start", "--jobs", str(jobs), **shared)

    def workers(self) -> int:
        """Return the number of workers, by their processes: one that is busy may not answer DVC's own question."""
        files = Path(self._queue.wdir).glob("dvc-exp-worker-*.json")
        return sum(_is_worker(_read(partial(_pid, file))) for file in files)

    def abandon(self, names: Iterable[str]) -> None:
        """Mark experiments as failed that are at work, but whose worker has ended."""
        for name in names:
            run_dvc("queue", "kill", "--force", _read(self._active)[name])

    def _queued(self) -> dict[str, str]:
        return self._own(self._queue.iter_queued())

    def _started(self) -> dict[str, str]:
        return self._own(entry for _, entry in self._queue._iter_processed())  # its public methods omit some failures

    def _active(self) -> dict[str, str]:
        return self._own(self._queue.iter_active())

    def _own(self, entries: Iterable[Any]) -> dict[str, str]:
        """Return the entries on the commit: by name their revision in DVC's stash."""
        return {entry.name: entry.stash_rev for entry in entries if entry.name and entry.baseline_rev == self._commit}


def _pid(file: Path) -> int:
    return int(json.loads(file.read_text(encoding="utf-8"))["pid"])


def _is_worker(pid: int) -> bool:
    """Return whether a worker runs under this pid: after its end another process may have it."""
    with suppress(psutil.Error):
        return "queue-worker" in psutil.Process(pid).cmdline()
    return False


def _read(reading: Callable[[], T]) -> T:
    for _ in range(READINGS - 1):
        try:
            return reading()
        except Exception:  # half-written files are of several formats
            time.sleep(READING_PAUSE)
    return reading()


def run_dvc(*arguments: str, **variables: str) -> None:
    """Run a dvc command; ValueError with what it printed if it fails.

    To a file, not a pipe: the workers that it starts keep its standard error open.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # for `dvc` and `python` in workers
    with TemporaryFile() as file:
        done = subprocess.run(
            [sys.executable, "-m", "dvc", *arguments],
            env=os.environ | {"PATH": path} | variables,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        file.seek(0)
        text = file.read().decode(errors="replace").strip()
    if done.returncode:
        raise ValueError(f"`dvc {' '.join(arguments)}` failed:\n{text}")
