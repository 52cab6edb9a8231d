"""Running the folds of a recipe when a worker ends before them: it is replaced, and its fold queued again."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from localizer.cross_validation import folds
from localizer.cross_validation.folds import run_folds

FOLDS = ["tiny-fold-0", "tiny-fold-1"]
RECIPE: Any = SimpleNamespace(
    commit="c" * 40,
    experiments=FOLDS,
    folds=len(FOLDS),
    check_same=lambda name, sha: None,
    overrides_of=lambda fold: [f"split.fold={fold}"],
)


class Queue:
    """A queue whose workers end at once: each takes as many folds as `takes` says, and finishes all but its last."""

    def __init__(self, takes: list[int]) -> None:
        self.takes = takes
        self.events: list[str] = []
        self.life = dict.fromkeys(FOLDS, "missing")

    def states(self, names: list[str]) -> dict[str, Any]:
        return {name: self.life[name] for name in names}

    def finished(self, name: str) -> str | None:
        return "sha" if self.life[name] == "finished" else None

    def workers(self) -> int:
        return 0

    def add(self, name: str, overrides: list[str]) -> None:
        self.events.append(f"add {name} {overrides[0]}")
        self.life[name] = "queued"

    def abandon(self, names: list[str]) -> None:
        self.events.append(f"abandon {' '.join(names)}")
        assert all(self.life[name] == "running" for name in names)

    def start_workers(self, jobs: int) -> None:
        self.events.append(f"start {jobs}")
        taken = [name for name in FOLDS if self.life[name] == "queued"][: self.takes.pop(0)]
        self.life |= dict.fromkeys(taken[:-1], "finished") | dict.fromkeys(taken[-1:], "running")
        if not self.takes:  # the last one works to the end
            self.life |= dict.fromkeys(taken, "finished")


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(folds, "POLL", 0)
    monkeypatch.setattr(folds, "_mean_iou", lambda queue, name: "")
    monkeypatch.setattr("dvc.repo.Repo", nullcontext)
    return []


def ran(queue: Queue, said: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(folds, "ExperimentQueue", lambda repo, commit: queue)
    return run_folds(RECIPE, jobs=1, say=said.append)


def test_a_fold_whose_worker_ended_is_run_by_another(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue(takes=[2, 1])
    assert ran(queue, said, monkeypatch) == ["sha", "sha"]
    again = ["abandon tiny-fold-1", "add tiny-fold-1 split.fold=1", "start 1"]
    assert queue.events == ["add tiny-fold-0 split.fold=0", "add tiny-fold-1 split.fold=1", "start 1", *again]


def test_folds_that_no_worker_took_are_left_to_the_next(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue(takes=[0, 2])  # as one that is shutting down when the folds are queued
    assert ran(queue, said, monkeypatch) == ["sha", "sha"]
    assert queue.events[2:] == ["start 1", "start 1"]


def test_workers_that_end_each_time_are_an_error(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"the workers ended 3 times before the folds; their logs: \.dvc/tmp/exps"):
        ran(Queue(takes=[1, 1, 1, 1]), said, monkeypatch)
