"""The queue of experiments as this project reads it: the states of experiments, and the workers that live."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from localizer.cross_validation import queue
from localizer.cross_validation.queue import ExperimentQueue

COMMIT = "c" * 40


def entry(name: str, rev: str = "1", commit: str = COMMIT) -> SimpleNamespace:
    return SimpleNamespace(name=name, stash_rev=rev, baseline_rev=commit)


def opened(*, finished: tuple[str, ...] = (), **lists: Any) -> ExperimentQueue:
    """Return the queue of a project in whose lists `queued`, `started` and `active` are these entries."""
    celery = SimpleNamespace(
        wdir=str(Path.cwd()),
        iter_queued=lambda: iter(lists.get("queued", ())),
        _iter_processed=lambda: ((None, one) for one in lists.get("started", ())),
        iter_active=lambda: iter(lists.get("active", ())),
    )
    refs = {f"refs/exps/cc/{'c' * 38}/{name}": "sha" for name in finished}
    repo = SimpleNamespace(experiments=SimpleNamespace(celery_queue=celery), scm=SimpleNamespace(get_ref=refs.get))
    return ExperimentQueue(repo, COMMIT)


def test_an_experiment_goes_from_queued_through_running_to_finished_or_failed() -> None:
    at_work, failed, done = entry("b"), entry("c"), entry("d")
    found = opened(queued=[entry("a")], started=[at_work, failed, done], active=[at_work], finished=("d",))
    states = {"a": "queued", "b": "running", "c": "failed", "d": "finished", "e": "missing"}
    assert found.states("abcde") == states


def test_experiments_of_another_commit_are_none_of_ours() -> None:
    other = entry("a", commit="d" * 40)
    assert opened(queued=[other], started=[other], active=[other]).states("a") == {"a": "missing"}


def test_a_reading_that_meets_a_half_written_file_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "READING_PAUSE", 0)
    found, readings = opened(), iter([json.JSONDecodeError("half", "", 0)] * 3)

    def broken() -> Iterator[Any]:
        if error := next(readings, None):
            raise error
        return iter([entry("a")])

    found._queue.iter_queued = broken
    assert found.states("a") == {"a": "queued"}
    found._queue.iter_queued = lambda: json.loads("{")
    with pytest.raises(json.JSONDecodeError):
        found.states("a")


@contextmanager
def process(*words: str) -> Iterator[int]:
    sleeping = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", *words])
    try:
        yield sleeping.pid
    finally:
        sleeping.kill()
        sleeping.wait()


def test_only_a_worker_whose_process_lives_counts() -> None:
    file = Path("dvc-exp-worker-1.json")
    with process("queue-worker") as worker, process("another") as other:
        file.write_text(json.dumps({"pid": worker}))
        assert opened().workers() == 1
        file.write_text(json.dumps({"pid": other}))  # which got the pid of a worker that has ended
        assert opened().workers() == 0
        file.write_text(json.dumps({"pid": worker}))
    assert opened().workers() == 0
    file.unlink()
    assert opened().workers() == 0


def test_workers_that_are_there_are_not_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    monkeypatch.setattr(queue, "run_dvc", lambda *words, **variables: started.append((words, variables)))
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(8))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with process("queue-worker") as worker:
        Path("dvc-exp-worker-1.json").write_text(json.dumps({"pid": worker}))
        opened().start_workers(1)
        assert started == []
        opened().start_workers(2)
    assert started == [(("queue", "start", "--jobs", "2"), {"OMP_NUM_THREADS": "4"})]


def test_the_threads_that_a_user_set_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    monkeypatch.setattr(queue, "run_dvc", lambda *words, **variables: started.append(variables))
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    opened().start_workers(2)
    assert started == [{}]


def test_a_command_of_dvc_that_fails_is_an_error_with_what_it_printed() -> None:
    with pytest.raises(ValueError, match=r"`dvc queue status` failed:\n[^\n]*not inside of a DVC repository"):
        queue.run_dvc("queue", "status")
