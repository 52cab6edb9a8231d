"""Running the folds of a recipe: those that aren't finished are queued, and waited for."""

import json
import time
from collections.abc import Callable
from pathlib import Path

from localizer.cross_validation.queue import AT_WORK, ExperimentQueue, State
from localizer.cross_validation.recipe import Recipe
from localizer.pipeline.git_state import git

METRICS = Path("reports/evaluate/metrics.json")
POLL, CHECK_WORKERS = 2, 30  # seconds

Say = Callable[[str], None]


def run_folds(recipe: Recipe, *, jobs: int, say: Say) -> list[str]:
    """Return the commit of each fold's experiment, after those that aren't finished were run by `jobs` workers.

    ValueError, after all have ended, if one has failed; it has the fold's log.
    """
    from dvc.repo import Repo

    with Repo() as repo:
        queue = ExperimentQueue(repo, recipe.commit)
        states = _queue_missing(recipe, queue, say)
        if any(state in AT_WORK for state in states.values()):
            queue.start_workers(jobs)
            states = _wait(recipe, queue, states, say)
        if failed := [name for name, state in states.items() if state != "finished"]:
            raise ValueError(_failure(recipe, queue, failed))
        return [str(queue.finished(name)) for name in recipe.experiments]


def _queue_missing(recipe: Recipe, queue: ExperimentQueue, say: Say) -> dict[str, State]:
    """Queue the folds that are neither finished nor at work; return the states of all."""
    states = queue.states(recipe.experiments)
    for name, state in states.items():
        if state == "finished":
            recipe.check_same(name, str(queue.finished(name)))
    running = [name for name, state in states.items() if state == "running"]
    if running and not queue.workers():
        queue.abandon(running)
        states |= dict.fromkeys(running, "failed")
    for fold, (name, state) in enumerate(states.items()):
        if state in ("missing", "failed"):
            queue.add(name, recipe.overrides_of(fold))
            state = "queued"
        say(f"{name}: {state}{_mean_iou(queue, name) if state == 'finished' else ''}")
        states[name] = state
    return states


def _wait(recipe: Recipe, queue: ExperimentQueue, states: dict[str, State], say: Say) -> dict[str, State]:
    """Wait until no fold is queued or running; return the states. ValueError if the workers end before."""
    started = checked = time.monotonic()
    while any(state in AT_WORK for state in states.values()):
        time.sleep(POLL)
        now = queue.states(recipe.experiments)
        for name in [name for name, state in now.items() if state != states[name]]:
            minutes = (time.monotonic() - started) / 60
            say(f"{name}: {now[name]} after {minutes:.1f} min{_mean_iou(queue, name)}")
        states = now
        if time.monotonic() - checked > CHECK_WORKERS:
            checked = time.monotonic()
            if not queue.workers() and any(state in AT_WORK for state in queue.states(recipe.experiments).values()):
                raise ValueError("the workers have ended before the folds; run the same command again")
    return states


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
