"""Two starts at once: one runs, the other fails and names it. As a script: runs 20 races, in forked children."""

import json
import multiprocessing
import os
import re
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from localizer.tracking.stage_lock import stage_lock

pytestmark = pytest.mark.slow

RACES = 20
FORK = multiprocessing.get_context("fork")


def start(folder: Path, together: Any, ended: Any, sent: Connection) -> None:
    """Start when the other does; send the outcome, and stay until both have."""
    together.wait(timeout=60)
    try:
        with stage_lock(folder, "train"):
            sent.send("in")
            ended.wait(timeout=60)
    except ValueError as error:
        sent.send(str(error))
        ended.wait(timeout=60)


def race(folder: Path) -> list[tuple[int, str]]:
    """Return the outcomes of two starts at once, each with its process."""
    together, ended = FORK.Barrier(2), FORK.Barrier(2)
    runners, got = [], []
    for _ in range(2):
        ours, theirs = FORK.Pipe(duplex=False)
        runners.append(FORK.Process(target=start, args=(folder, together, ended, theirs)))
        got.append(ours)
        runners[-1].start()
        theirs.close()
    found = [(runner.pid or 0, str(end.recv())) for runner, end in zip(runners, got, strict=True)]
    for runner in runners:
        runner.join(timeout=60)
    return found


def test_of_two_starts_at_once_one_runs_and_the_other_names_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, __file__, "locks"],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "src")},
        stdout=subprocess.PIPE,
        timeout=300,
        text=True,
    )
    races = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(races) == RACES
    for one in races:
        ((first, _),) = [runner for runner in one if runner[1] == "in"]
        ((_, message),) = [runner for runner in one if runner[1] != "in"]
        assert re.search(rf"another train is running in {tmp_path}: process {first};", message), message


if __name__ == "__main__":
    for _ in range(RACES):
        print(json.dumps(race(Path(sys.argv[1]))), flush=True)
