"""A team's MLflow, of real processes: PostgreSQL, MLflow's server with passwords as compose.yaml starts it, and S3."""

import http.client
import json
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from evaluated_toy import CHAMPION, Logged, enter, execution, give_files, table
from faulty_bucket import FULL
from mlflow.entities import Run
from PIL import Image
from servers import LOAD, STAGE, SYNC
from services import WITH_POSTGRES
from shared_mlflow import PEOPLE, SECRETS, Team, assert_all_arrived_once, call, shared_mlflow, stages
from tracking_toy import SAVE_MODEL, Project

from localizer.tracking.store import open_store

pytestmark = [pytest.mark.server, *WITH_POSTGRES]


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with shared_mlflow(tmp_path_factory.mktemp("team")) as servers:
        yield servers


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture(scope="module")
def both(team: Team, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Project]:
    """Two pipelines that ran at once, by two people, who logged to a server without any experiment of theirs."""
    projects = {person: Project(tmp_path_factory.mktemp(person)) for person in PEOPLE}
    for project in projects.values():
        project.make()
    command = [sys.executable, "-m", "dvc", "repro"]
    streams: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
    started = [
        subprocess.Popen(command, cwd=project.root, env=team.around(person), **streams)
        for person, project in projects.items()
    ]
    assert [process.wait(timeout=300) for process in started] == [0, 0]
    for person, project in projects.items():
        assert call(project, team.around(person), *SYNC).returncode == 0
    return projects


def test_two_pipelines_log_at_once_each_run_once_and_completely(team: Team, both: dict[str, Project]) -> None:
    for project in both.values():
        runs = assert_all_arrived_once(team, project)
        assert sorted(run.info.run_name for run in runs if run.data.tags["kind"] == "stage") == [
            "evaluate",
            "prepare",
            "train",
        ]
        (pipeline,) = (run for run in runs if run.data.tags["kind"] == "pipeline")
        others = [run for run in runs if run is not pipeline]
        assert {run.data.tags["mlflow.parentRunId"] for run in others} == {pipeline.info.run_id}
        assert pipeline.data.tags["complete"] == "true"


def test_the_files_of_both_lie_in_the_bucket(team: Team, both: dict[str, Project]) -> None:
    kept = team.files()
    for project in both.values():
        (train,) = (run for run in assert_all_arrived_once(team, project) if run.info.run_name == "train")
        folder = f"{train.info.experiment_id}/{train.info.run_id}/artifacts/models"
        assert {f"{folder}/a.bin", f"{folder}/b.bin"} <= set(kept)


def test_the_servers_experiment_is_one(team: Team, both: dict[str, Project]) -> None:
    assert len({run.info.experiment_id for run in team.runs()}) == 1


@pytest.fixture(scope="module")
def model(team: Team, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, str]:
    """The server's run and model of a stage whose model's files the bucket took at the second try only."""
    project = Project(tmp_path_factory.mktemp("model"))
    assert call(project, team.around(), "-c", SAVE_MODEL).returncode == 0
    assert call(project, team.around(MLFLOW_TRACKING_URI=""), "-c", STAGE, "model").returncode == 0
    team.faults.fault, team.faults.below = FULL, "/models/"
    try:
        synced = call(project, team.around(), *SYNC)
    finally:
        team.faults.fault, team.faults.below = None, ""
    assert synced.returncode == 1
    assert call(project, team.around(), *SYNC).returncode == 0
    (stage,) = stages(assert_all_arrived_once(team, project))
    (only,) = stage.outputs.model_outputs
    return stage, only.model_id


def test_a_model_whose_files_were_refused_at_first_arrives_once(team: Team, model: tuple[Run, str]) -> None:
    found = team.client().search_logged_models([model[0].info.experiment_id])
    own = [one for one in found if one.source_run_id == model[0].info.run_id]
    assert [(one.model_id, str(one.status)) for one in own] == [(model[1], "READY")]


MIDDLE = "24.0 16.0 72.0 48.0 None\n"  # a fresh head predicts the centered half, and the example has 96 x 64 pixels


@pytest.mark.parametrize(("direct", "expected"), [("false", MIDDLE), ("", "")], ids=["docs", "else"])
def test_another_engineer_loads_the_model_through_the_server_with_the_variable_that_the_docs_name(
    team: Team, model: tuple[Run, str], tmp_path: Path, direct: str, expected: str
) -> None:
    around = team.around("ben", PYTHONPATH="", MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    if direct:
        around |= {"MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": direct}
    command = [sys.executable, "-c", LOAD, f"models:/{model[1]}"]
    done = subprocess.run(command, cwd=tmp_path, env=around, capture_output=True, text=True)
    assert done.stdout == expected, done.stderr


PREDICT = ["-m", "localizer.cli", "predict", "one.png", "--model"]


def test_localizer_predicts_with_the_model_through_the_server(
    team: Team, model: tuple[Run, str], project: Project
) -> None:
    Image.new("RGB", (96, 64)).save(project.root / "one.png")
    done = call(project, team.around("ben"), *PREDICT, f"models:/{model[1]}")
    assert '"box_xyxy_px": [24.0, 16.0, 72.0, 48.0]' in done.stdout, done.stderr


@pytest.fixture(scope="module")
def promoted(team: Team, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Logged]:
    """A project and its evaluated run, of which `localizer promote` made the model the server's champion."""
    project = Project(tmp_path_factory.mktemp("promoted"))
    with pytest.MonkeyPatch.context() as patch:
        enter(project.root, patch)
        logged = execution(open_store(), "first", table([0.5] * 30))
        give_files(open_store(), logged)
    done = call(project, team.around(), "-m", "localizer.cli", "promote", "first")
    assert done.returncode == 0, done.stderr
    assert f"{CHAMPION} on {team.address} is version 1" in done.stdout
    return project, logged


def test_a_promoted_runs_model_is_the_champion_on_the_server(team: Team, promoted: tuple[Project, Logged]) -> None:
    (train,) = (run for run in assert_all_arrived_once(team, promoted[0]) if run.info.run_name == "train")
    champion = team.client().get_model_version_by_alias("localizer", "champion")
    (output,) = train.outputs.model_outputs
    assert (champion.run_id, champion.source) == (train.info.run_id, f"models:/{output.model_id}")


def test_another_engineer_predicts_with_the_champion(
    team: Team, promoted: tuple[Project, Logged], project: Project
) -> None:
    Image.new("RGB", (80, 40)).save(project.root / "one.png")
    done = call(project, team.around("ben"), *PREDICT, CHAMPION)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["box_xyxy_px"] == pytest.approx([20, 10, 60, 30], abs=0.01)


def test_a_run_that_the_server_does_not_know_any_more_is_sent_again(
    team: Team, promoted: tuple[Project, Logged]
) -> None:
    project, logged = promoted
    (lost,) = (run for run in team.runs() if run.data.tags["origin"] == logged.evaluate)
    team.client().set_tag(lost.info.run_id, "origin", "of another")
    (name,) = (tag for tag in project.client.get_run(logged.evaluate).data.tags if tag.startswith("sent."))
    project.client.set_tag(logged.evaluate, name, f"{'f' * 32} whole")
    printed = [call(project, team.around(), *SYNC).stdout for _ in range(2)]
    # The pipeline's run names it.
    assert printed == [f"sent to {team.address}: 2 runs\n", f"{team.address} has all runs\n"]
    assert_all_arrived_once(team, project)


def status(team: Team, path: str, *, method: str = "GET", word: str | None = None, host: str | None = None) -> int:
    """Return what the server answers to ann, who gives the password, or to no one."""
    where = urlsplit(team.address)
    connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=30)
    headers = {"Host": host or where.netloc}
    if word is not None:
        headers["Authorization"] = f"Basic {b64encode(f'ann:{word}'.encode()).decode()}"
    connection.request(method, path, headers=headers)
    answer = connection.getresponse().status
    connection.close()
    return answer


def test_a_host_that_is_not_allowed_is_refused(team: Team) -> None:
    path = "/api/2.0/mlflow/experiments/get-by-name?experiment_name=Default"
    assert status(team, path, word=PEOPLE["ann"], host="evil.example") == 403
    assert status(team, path, word=PEOPLE["ann"]) == 200


def test_files_need_a_password(team: Team, model: tuple[Run, str]) -> None:
    run = model[0].info
    place = f"/api/2.0/mlflow-artifacts/artifacts/{run.experiment_id}/{run.run_id}/artifacts/texts/notes.txt"
    listed = f"/api/2.0/mlflow-artifacts/artifacts?path={run.experiment_id}/{run.run_id}/artifacts"
    page = f"/get-artifact?path=texts/notes.txt&run_uuid={run.run_id}"
    for path in (place, listed, page):
        assert status(team, path, word=PEOPLE["ann"]) == 200
        assert [status(team, path), status(team, path, word="wrong")] == [401, 401]
    assert status(team, place, method="PUT") == 401
    assert status(team, place, method="DELETE") == 401


def test_no_secret_is_in_a_run_a_log_or_a_command_line(team: Team, both: dict[str, Project]) -> None:
    texts = {path.name: path.read_text(errors="replace") for path in team.server.log.parent.glob("*.log")}
    assert len(texts) == 2
    texts["runs"] = str([run.to_dictionary() for run in team.runs()])
    for service in (team.server, team.postgres):
        assert service.process is not None
        whole = psutil.Process(service.process.pid)
        lines = [" ".join(one.cmdline()) for one in (whole, *whole.children(recursive=True))]
        texts[service.command[0]] = "\n".join(lines)
    for project in both.values():
        files = [path for path in project.root.rglob("*") if path.is_file()]
        texts |= {str(path): path.read_bytes().decode("latin-1") for path in files}
    secrets = {*SECRETS.values(), *PEOPLE.values()} - {SECRETS["LOCALIZER_S3_KEY"]}  # the key's name, which S3 logs
    assert not [(name, secret) for name, text in texts.items() for secret in secrets if secret in text]
