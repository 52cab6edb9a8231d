"""Runs on their way to an MLflow server that is down, hangs, fails, or returns: none is lost or duplicated."""

import http.server
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from servers import LOAD, LONG_STAGE, STAGE, SYNC, Failing, Sleeping, answering, free_port, mlflow_server
from tracking_toy import SAVE_MODEL, Project, environment

# MLflow's store, of SQLAlchemy.
pytestmark = [pytest.mark.server, pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")]


def call(project: Project, address: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=project.root,
        env=environment(MLFLOW_TRACKING_URI=address),
        capture_output=True,
        text=True,
        timeout=300,
    )


def runs_of(address: str) -> dict[str, Run]:
    client = MlflowClient(address)
    experiment = client.get_experiment_by_name("localizer")
    return {run.data.tags["kind"]: run for run in client.search_runs([experiment.experiment_id])} if experiment else {}


@pytest.mark.parametrize(
    ("handler", "cause"),
    [
        (None, "can't connect"),
        (Failing, "server error (500 to /api/2.0/mlflow/experiments/get-by-name)"),
        (Sleeping, "not done within 5 seconds"),
    ],
    ids=["dead port", "answers 500", "sleeps"],
)
def test_a_stage_succeeds_while_the_server_is_down_and_reports_it_without_the_password(
    tmp_path: Path, handler: type[http.server.BaseHTTPRequestHandler] | None, cause: str
) -> None:
    project = Project(tmp_path)
    if handler is None:
        done = call(project, f"http://me:secret@127.0.0.1:{free_port()}", "-c", STAGE)
    else:
        with answering(handler) as address:
            done = call(project, address, "-c", STAGE)
    assert done.returncode == 0, done.stderr
    assert (
        f": {cause}; the runs are kept in mlflow.db, and the next stage or `localizer sync` sends them" in done.stderr
    )
    assert "secret" not in done.stderr
    assert len(project.runs()) == 2


def test_a_run_whose_files_are_gone_is_reported_and_blocks_no_other(tmp_path: Path) -> None:
    project, port = Project(tmp_path / "project"), free_port()
    project.root.mkdir()
    assert project.run("-c", SAVE_MODEL).returncode == 0
    assert call(project, "", "-c", STAGE, "model").returncode == 0
    (description,) = project.root.rglob("MLmodel")
    shutil.rmtree(description.parent)
    assert call(project, "", "-c", STAGE).returncode == 0
    newer = {run.info.run_id for run in project.runs() if not run.outputs.model_outputs}
    assert len(newer) == 2
    with mlflow_server(tmp_path, port) as address:
        done = call(project, address, *SYNC)
        client = MlflowClient(address)
        found = client.search_runs([client.get_experiment_by_name("localizer").experiment_id])
    assert done.returncode == 1
    assert str(description.parent) in done.stderr
    assert {run.data.tags["origin"] for run in found if run.info.status == "FINISHED"} == newer


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[tuple[Project, str, list[str]]]:
    """A stage run without the server, then `localizer sync` twice with it; the output of the calls."""
    folder = tmp_path_factory.mktemp("delivered")
    project, port = Project(folder / "project"), free_port()
    project.root.mkdir()
    shutil.copy(empty_store, project.root / "mlflow.db")
    shutil.copy(empty_store, folder / "server.db")
    assert project.run("-c", SAVE_MODEL).returncode == 0
    printed = [call(project, f"http://127.0.0.1:{port}", "-c", STAGE, "model").stderr]
    (cache,) = (path.parent / "__pycache__" for path in project.root.rglob("code/localizer/predictor.py"))
    cache.mkdir()  # as left by loading the model from this folder
    (cache / "predictor.cpython-311.pyc").touch()
    printed.append(call(project, f"http://127.0.0.1:{port}", *SYNC).stderr)
    with mlflow_server(folder, port) as address:
        printed += [call(project, address, *SYNC).stdout for _ in range(2)]
        yield project, address, printed


def test_sync_without_a_server_fails_with_a_fix(delivered: tuple[Project, str, list[str]]) -> None:
    assert "can't connect; nothing is lost: start the server" in delivered[2][1]


def test_sync_sends_the_kept_runs_and_then_nothing(delivered: tuple[Project, str, list[str]]) -> None:
    _, address, printed = delivered
    assert printed[2:] == [f"sent to {address}: 2 runs\n", f"{address} has all runs\n"]


def test_metrics_arrive_as_logged_with_their_times(delivered: tuple[Project, str, list[str]]) -> None:
    project, address, _ = delivered
    ours, theirs = ({run.data.tags["kind"]: run for run in project.runs()}, runs_of(address))
    for kind, name in (("stage", "loss"), ("pipeline", "train/loss")):
        histories = [
            [(point.step, point.value, point.timestamp) for point in client.get_metric_history(run.info.run_id, name)]
            for client, run in ((project.client, ours[kind]), (MlflowClient(address), theirs[kind]))
        ]
        assert len(histories[0]) == 5
        assert histories[0] == histories[1]
        assert theirs[kind].info.start_time == ours[kind].info.start_time
        assert theirs[kind].info.end_time == ours[kind].info.end_time
        assert theirs[kind].info.status == "FINISHED"
        assert [given.dataset.name for given in theirs[kind].inputs.dataset_inputs] == ["table"]


def test_ids_in_tags_are_the_servers_own(delivered: tuple[Project, str, list[str]]) -> None:
    theirs = runs_of(delivered[1])
    assert theirs["stage"].data.tags["mlflow.parentRunId"] == theirs["pipeline"].info.run_id
    assert theirs["pipeline"].data.tags["stage.train"] == f"ran:{theirs['stage'].info.run_id}"


def test_artifacts_and_the_model_arrive_once(delivered: tuple[Project, str, list[str]]) -> None:
    client, stage = MlflowClient(delivered[1]), runs_of(delivered[1])["stage"]
    assert [file.path for file in client.list_artifacts(stage.info.run_id, "texts")] == ["texts/notes.txt"]
    (model,) = client.search_logged_models([stage.info.experiment_id])
    assert (model.name, model.source_run_id, str(model.status)) == ("model", stage.info.run_id, "READY")
    assert [output.model_id for output in stage.outputs.model_outputs] == [model.model_id]
    assert "MLmodel" in [file.path for file in client.list_logged_model_artifacts(model.model_id)]


def test_the_model_loads_from_the_server_and_predicts(
    delivered: tuple[Project, str, list[str]], tmp_path: Path
) -> None:
    stage = runs_of(delivered[1])["stage"]
    (model,) = MlflowClient(delivered[1]).search_logged_models([stage.info.experiment_id])
    done = subprocess.run(
        [sys.executable, "-c", LOAD, f"models:/{model.model_id}"],
        cwd=tmp_path,
        env=environment(MLFLOW_TRACKING_URI=delivered[1], PYTHONPATH=""),
        capture_output=True,
        text=True,
    )
    # A fresh head answers the centred half, and the example has 96 x 64 pixels.
    assert done.stdout == "24.0 16.0 72.0 48.0 None\n", done.stderr


def test_no_bytecode_goes_to_the_server(delivered: tuple[Project, str, list[str]]) -> None:
    files = Path(delivered[0].root.parent, "files")
    assert [*files.rglob("localizer/predictor.py")]
    assert not [*files.rglob("__pycache__")]


def test_a_url_in_a_text_is_logged_without_its_password(delivered: tuple[Project, str, list[str]]) -> None:
    for run in [*runs_of(delivered[1]).values(), *delivered[0].runs()]:
        assert run.data.tags["mlflow.note.content"] == "see https://example.org/x"


def test_the_next_stage_sends_the_runs_of_the_one_before(tmp_path: Path) -> None:
    project, port = Project(tmp_path / "project"), free_port()
    project.root.mkdir()
    call(project, f"http://127.0.0.1:{port}", "-c", STAGE)
    with mlflow_server(tmp_path, port) as address:
        call(project, address, "-c", STAGE)
        assert call(project, address, *SYNC).returncode == 0
        client = MlflowClient(address)
        experiment = client.get_experiment_by_name("localizer")
        assert experiment
        assert len(client.search_runs([experiment.experiment_id])) == 4


def test_a_server_killed_during_a_stage_gets_the_rest_later_and_no_duplicates(tmp_path: Path) -> None:
    project, port, script = Project(tmp_path / "project"), free_port(), tmp_path / "stage.py"
    project.root.mkdir()
    script.write_text(LONG_STAGE)
    around = environment(MLFLOW_TRACKING_URI=f"http://127.0.0.1:{port}")
    with mlflow_server(tmp_path, port) as address:
        stage = subprocess.Popen([sys.executable, str(script)], cwd=project.root, env=around)
        while not (first := runs_of(address).get("stage")) or "loss" not in first.data.metrics:
            assert stage.poll() is None
            time.sleep(0.1)
    (project.root / "server is dead").touch()  # mlflow_server has killed it
    assert stage.wait(timeout=60) == 0
    with mlflow_server(tmp_path, port) as address:
        assert call(project, address, *SYNC).returncode == 0
        run = runs_of(address)["stage"]
        assert run.info.status == "FINISHED"
        points = MlflowClient(address).get_metric_history(run.info.run_id, "loss")
        assert [(point.step, point.value) for point in points] == [(0, 1.0), (1, 0.5)]
        experiment = MlflowClient(address).get_experiment_by_name("localizer")
        assert experiment
        assert len(MlflowClient(address).search_runs([experiment.experiment_id])) == 2
