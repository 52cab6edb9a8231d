"""Running the folds of a recipe: those that aren't finished are queued, and waited for."""

import json
import time
from collections.abc import Callable
from pathlib import Path

from localizer.cross_validation.queue import ExperimentQueue, State
from localizer.cross_validation.recipe import Recipe
from localizer.pipeline.git_state import git

METRICS = Path("reports/evaluate/metrics.json")
POLL = 2  # seconds between two looks at the queue
PATIENCE = 15  # looks in a row without a worker, one of which may be on its way
STARTS = 3  # of workers, if they end before the folds

Say = Callable[[str], None]


def run_folds(recipe: Recipe, *, jobs: int, say: Say) -> list[str]:
    """Return the commit of each fold's experiment, after those that aren't finished were run by `jobs` workers.

    ValueError, after all have ended, if one has failed; it has the fold's log.
    """
    from dvc.repo import Repo

    with Repo() as repo:
        queue = ExperimentQueue(repo, recipe.commit)
        states = _queue_missing(recipe, queue, say)
        for _ in range(STARTS):
            if _at_work(states):
                queue.start_workers(jobs)
                states = _requeue_abandoned(recipe, queue, _wait(recipe, queue, states, say))
        if _at_work(states):
            raise ValueError(f"the workers ended {STARTS} times before the folds; their logs: .dvc/tmp/exps/celery/")
        if failed := [name for name, state in states.items() if state != "finished"]:
            raise ValueError(_failure(recipe, queue, failed))
        return [str(queue.finished(name)) for name in recipe.experiments]


def _queue_missing(recipe: Recipe, queue: ExperimentQueue, say: Say) -> dict[str, State]:
    """Queue the folds that are neither finished nor at work; return the states of all."""
    states = queue.states(recipe.experiments)
    for name, state in states.items():
        if state == "finished":
            recipe.check_same(name, str(queue.finished(name)))
    states = _requeue_abandoned(recipe, queue, states)
    for fold, (name, state) in enumerate(states.items()):
        if state in ("missing", "failed"):
            queue.add(name, recipe.overrides_of(fold))
            states[name] = "queued"
        say(f"{name}: {states[name]}{_mean_iou(queue, name)}")
    return states


def _requeue_abandoned(recipe: Recipe, queue: ExperimentQueue, states: dict[str, State]) -> dict[str, State]:
    """Queue the folds again that are running, but without a worker: it was killed, or took one while shutting down."""
    running = [fold for fold, name in enumerate(recipe.experiments) if states[name] == "running"]
    if not running or queue.workers():
        return states
    names = [recipe.experiments[fold] for fold in running]
    queue.abandon(names)
    for fold, name in zip(running, names, strict=True):
        queue.add(name, recipe.overrides_of(fold))
    return states | dict.fromkeys(names, "queued")


def _wait(recipe: Recipe, queue: ExperimentQueue, states: dict[str, State], say: Say) -> dict[str, State]:
    """Wait until no fold is queued or running, or no worker is left; return the states."""
    started, without_worker = time.monotonic(), 0
    while _at_work(states) and without_worker < PATIENCE:
        time.sleep(POLL)
        without_worker = 0 if queue.workers() else without_worker + 1
        now = queue.states(recipe.experiments)
        for name in [name for name, state in now.items() if state != states[name]]:
            minutes = (time.monotonic() - started) / 60
            say(f"{name}: {now[name]} after {minutes:.1f} min{_mean_iou(queue, name)}")
        states = now
    return states


def _at_work(states: dict[str, State]) -> bool:
    return any(state in ("queued", "running") for state in states.values())


def _mean_iou(queue: ExperimentQueue, name: str) -> str:
    """Return the mean IoU of a finished fold as text; empty for others."""
    sha = queue.finished(name)
    return f", mean IoU {json.loads(git('show', f'{sha}:./{METRICS}'))['mean_iou']:.3f}" if sha else ""


def _failure(recipe: Recipe, queue: ExperimentQueue, failed: list[str]) -> str:
    """Return a message that names the failed folds, with the log of the first."""
    indented = "\n".join(f"  {line}" for line in queue.log(failed[0]).splitlines())
    others = f"; the logs of the others: {', '.join(f'`dvc queue logs {name}`' for name in failed[1:])}"
    return (
        f"failed: {', '.join(failed)}, of {recipe.folds} folds. The end of the log of {failed[0]}:\n{indented}\n"
        f"The finished folds are kept{others if failed[1:] else ''}; fix the cause, and run the same command again: it "
        "runs only what is missing (all folds, if the fix is a new commit; DVC then restores equal stages)"
    )
