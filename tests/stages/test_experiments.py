"""Experiments of DVC, queued and in a temporary folder: two workers at once on a store that doesn't exist yet."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from project import STAGES, TINY, commit, make_project, run

pytestmark = pytest.mark.pipeline

SEEDS = {"one": 1, "two": 2, "three": 3}
LONGEST = 420  # seconds
EPOCHS = 2


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A tiny project in which two workers have run three experiments, the second of them with other code."""
    folder = tmp_path_factory.mktemp("project")
    make_project(folder, TINY | {"train": TINY["train"] | {"epochs": EPOCHS}})
    commit(folder)
    code = folder / "src/localizer/splitting/assignment.py"
    committed = code.read_text(encoding="utf-8")
    for name, seed in SEEDS.items():
        code.write_text(committed + 'print("other code")\n' * (name == "two"), encoding="utf-8")
        run(folder, "dvc", "exp", "run", "--queue", "--name", name, "-S", f"train.seed={seed}")
    code.write_text(committed, encoding="utf-8")
    assert not (folder / "mlflow.db").exists()
    # To a file: what starts the workers keeps its standard error open until the last of them has ended, which one that
    # misses celery's word never does.
    run(folder, "sh", "-c", "dvc queue start --jobs 2 > ../queue.log 2>&1")
    try:
        wait_for_the_queue(folder)
        yield folder
    finally:
        run(folder, "dvc", "queue", "stop", "--kill")


def wait_for_the_queue(folder: Path) -> None:
    """Wait until none is queued or at work. DVC's status fails now and then: a worker's file is half written."""
    until = time.monotonic() + LONGEST
    command = ["sh", "-c", "dvc queue status || echo ' Running'"]
    while any(state in (status := run(folder, *command)) for state in (" Queued", " Running")):
        assert time.monotonic() < until, status
        time.sleep(2)
    assert status.count(" Success") == len(SEEDS), status


def pipelines(project: Path) -> dict[str, Run]:
    """The runs of whole executions, by the experiment's name."""
    return {one.info.run_name: one for one in stored(project) if "mlflow.parentRunId" not in one.data.tags}


def stored(project: Path) -> list[Run]:
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    return list(client.search_runs([one.experiment_id for one in client.search_experiments()]))


def results_by_dvc(project: Path) -> dict[str, dict[str, Any]]:
    """What DVC itself holds of each experiment."""
    (_, base) = json.loads(run(project, "dvc", "exp", "show", "--json"))
    return {one["revs"][0]["name"]: one["revs"][0]["data"] for one in base["experiments"]}


def test_each_experiment_has_all_its_runs_and_they_are_finished(project: Path) -> None:
    found = pipelines(project)
    assert set(found) == set(SEEDS)
    runs = stored(project)
    assert {one.info.status for one in runs} == {"FINISHED"}
    by_id = {one.info.run_id: one.info.run_name for one in runs}
    for pipeline in found.values():
        for stage in STAGES:  # one that an earlier experiment has run just so isn't run again
            how, run_id = pipeline.data.tags[f"stage.{stage}"].split(":")
            assert how in ("ran", "cached")
            assert by_id[run_id] == stage


def test_the_store_has_the_params_and_metrics_that_dvc_has(project: Path) -> None:
    by_dvc = results_by_dvc(project)
    for name, pipeline in pipelines(project).items():
        metrics = by_dvc[name]["metrics"]["reports/evaluate/metrics.json"]["data"]
        logged = {key.removeprefix("evaluate/"): value for key, value in pipeline.data.metrics.items()}
        assert logged.items() >= {key: pytest.approx(value) for key, value in metrics.items()}.items()
        assert pipeline.data.params["train.seed"] == str(SEEDS[name])


def test_no_epoch_of_any_training_is_lost(project: Path) -> None:
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    trainings = [one for one in stored(project) if one.info.run_name == "train"]
    assert len(trainings) == len(SEEDS)
    for one in trainings:
        assert [point.step for point in client.get_metric_history(one.info.run_id, "loss")] == [1, 2]


def test_an_experiment_runs_the_code_that_it_was_queued_with(project: Path) -> None:
    assert "other code" in run(project, "dvc", "queue", "logs", "two")
    for name in ("one", "three"):
        assert "other code" not in run(project, "dvc", "queue", "logs", name)


def test_one_in_a_temporary_folder_logs_to_the_main_checkout_and_leaves_it_as_it_was(project: Path) -> None:
    run(project, "dvc", "exp", "run", "--temp", "--name", "apart", "-S", "train.seed=4")
    assert pipelines(project)["apart"].data.params["train.seed"] == "4"
    assert run(project, "git", "status", "--short") == ""
