"""A sweep that two clones share: each works off its own queue, both log to one server, and one compares all."""

import json
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from project import ROOT, commit, copy_project, run, stages_run
from s3_server import ENVIRONMENT, s3_server
from servers import free_port, mlflow_server
from test_dvc_remote import ATTEMPTS, add_remote

pytestmark = pytest.mark.server

SWEEP = "dvc exp run --queue --name sweep -S 'train.seed=range(0,3)' -S 'train.lr=0.001,0.002'"
HALVES = {  # of a smaller one, by clone
    "one": "dvc exp run --queue --name low -S 'train.seed=range(0,2)' -S train.lr=0.001",
    "other": "dvc exp run --queue --name high -S 'train.seed=range(0,2)' -S train.lr=0.002",
}
NAMES = {"one": ["low-1", "low-2"], "other": ["high-1", "high-2"]}
SHARED = ["prepare", "validate", "split", "data/demo/dvc.yaml"]
PUSH, PULL, ALL = "dvc exp push origin", "dvc exp pull origin", "dvc exp list --name-only"
LONGEST = 600  # seconds


class Shared(NamedTuple):
    """Two clones that have worked off their queues and pushed what came of it, and the address of their server."""

    one: Path
    other: Path
    mlflow: str

    def runs(self) -> list[Run]:
        """Return all runs on the server."""
        client = MlflowClient(self.mlflow)
        experiment = client.get_experiment_by_name("localizer")
        assert experiment
        return list(client.search_runs([experiment.experiment_id]))


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory, finished_project: Path, empty_store: Path) -> Iterator[Path]:
    """A bare repository; the remote that its commit names has all that the stages before train made."""
    folder = tmp_path_factory.mktemp("team")
    project = folder / "project"
    copy_project(finished_project, project, {"train": {"depth": 18}}, store=empty_store)
    with pytest.MonkeyPatch.context() as patch, s3_server(folder) as s3:
        for name, value in (ENVIRONMENT | ATTEMPTS).items():
            patch.setenv(name, value)
        add_remote(project, "team", f"s3://{s3.bucket}/localizer", s3.endpoint, "-d")
        commit(project)
        run(project, "dvc", "push", *SHARED)
        run(folder, "git", "clone", "-q", "--bare", str(project), "origin.git")
        yield folder / "origin.git"


@pytest.fixture(scope="module")
def shared(origin: Path) -> Iterator[Shared]:
    with mlflow_server(origin.parent, free_port()) as mlflow:
        clones = [clone(origin, name) for name in HALVES]
        try:
            for one, command in zip(clones, HALVES.values(), strict=True):
                run(one, "dvc", "pull", *SHARED)
                run(one, *shlex.split(command))
            for one in clones:  # to a file, as in test_experiments.py
                run(one, "sh", "-c", f"dvc queue start --jobs 1 > ../{one.name}.log 2>&1", server=mlflow)
            wait_for_the_queues(clones)
            for one in clones:
                run(one, "localizer", "sync", server=mlflow)
                run(one, *shlex.split(PUSH))
            run(clones[0], *shlex.split(PULL))
            yield Shared(clones[0], clones[1], mlflow)
        finally:
            for one in clones:
                run(one, "dvc", "queue", "stop", "--kill")


def clone(origin: Path, name: str) -> Path:
    run(origin.parent, "git", "clone", "-q", str(origin), name)
    return origin.parent / name


def wait_for_the_queues(clones: list[Path]) -> None:
    """Wait until all that was queued has run well."""
    until = time.monotonic() + LONGEST
    for one in clones:
        while any(state in (told := run(one, "dvc", "queue", "status")) for state in (" Queued", " Running")):
            assert time.monotonic() < until, told
            time.sleep(2)
        assert told.count(" Success") == len(NAMES[one.name]), told


def experiments(folder: Path) -> list[str]:
    return run(folder, *shlex.split(ALL)).split()


def test_the_page_has_the_commands_that_are_tested_here() -> None:
    page = (ROOT / "docs/how-to/sweeps.md").read_text(encoding="utf-8")
    assert all(one in page for one in (SWEEP, *HALVES.values(), PUSH, PULL, f"localizer compare $({ALL})"))


def test_one_command_queues_every_pair_of_seed_and_rate(origin: Path) -> None:
    folder = clone(origin, "grid")
    told = run(folder, *shlex.split(SWEEP))
    pairs = [f"['train.seed={seed}', 'train.lr={rate}']" for seed in range(3) for rate in ("0.001", "0.002")]
    assert all(pair in told for pair in pairs)
    status = run(folder, "dvc", "queue", "status")
    assert all(f"sweep-{number} " in status for number in range(1, len(pairs) + 1))
    assert status.count(" Queued") == len(pairs)


def test_each_experiment_is_on_the_server_once_with_its_name_and_its_stages(shared: Shared) -> None:
    runs = shared.runs()
    parents = {one.info.run_id: one.data.tags.get("mlflow.parentRunId") for one in runs}
    names_of = {one.info.run_id: one.info.run_name for one in runs}
    pipelines = [names_of[run_id] for run_id, parent in parents.items() if parent is None]
    stages = [(names_of[parent], names_of[run_id]) for run_id, parent in parents.items() if parent]
    names = sorted(NAMES["one"] + NAMES["other"])
    assert sorted(pipelines) == names
    assert sorted(stages) == [(name, stage) for name in names for stage in ("evaluate", "train")]
    assert {one.info.status for one in runs} == {"FINISHED"}


def test_a_queue_is_its_clones_own_and_results_come_by_pull(shared: Shared) -> None:
    assert "high" not in run(shared.one, "dvc", "queue", "status")
    assert sorted(experiments(shared.one)) == sorted(NAMES["one"] + NAMES["other"])
    assert sorted(experiments(shared.other)) == NAMES["other"]
    assert run(shared.one, "git", "status", "--short") == ""


def test_one_clone_compares_all_in_groups_over_the_seeds(shared: Shared) -> None:
    told = run(shared.one, "localizer", "compare", *experiments(shared.one), "--json", server=shared.mlflow)
    compared = json.loads(told)
    groups = [{one["name"].split(" ")[0] for one in group["results"]} for group in compared["groups"]]
    assert sorted(map(sorted, groups)) == [NAMES["other"], NAMES["one"]]
    assert all({one["seeds"]["train.seed"] for one in group["results"]} == {"0", "1"} for group in compared["groups"])
    assert sorted(compared["params"]["train.lr"].values()) == ["0.001", "0.002"]
    assert compared["differences"][0]["reason"] is None


def test_a_pulled_experiment_can_be_taken_up_and_its_model_names_the_run_of_the_other_clone(shared: Shared) -> None:
    told = run(shared.one, "dvc", "exp", "apply", "high-2", status=255)  # for the sets that nobody has used
    assert sorted(told.partition("targets:\n")[2].splitlines()[:2]) == ["data/bccd/raw", "data/raccoon/raw"]
    assert stages_run(run(shared.one, "dvc", "repro")) == []
    told = run(shared.one, "localizer", "trace", "models/localizer.safetensors", "--json", server=shared.mlflow)
    runs = shared.runs()
    (pipeline,) = [one.info.run_id for one in runs if one.info.run_name == "high-2"]
    stages = [one for one in runs if one.data.tags.get("mlflow.parentRunId") == pipeline]
    assert all(one.info.run_id in told for one in stages)
