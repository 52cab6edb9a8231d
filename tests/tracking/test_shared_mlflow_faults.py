"""A team's MLflow that refuses, is killed or full: a stage succeeds and reports why; nothing is lost or duplicated."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty_bucket import FULL
from servers import LONG_STAGE, STAGE, SYNC
from services import WITH_POSTGRES, Service
from shared_mlflow import Team, assert_all_arrived_once, assert_all_there, call, shared_mlflow, stages
from tracking_toy import Project

pytestmark = [pytest.mark.server, *WITH_POSTGRES]
EXPIRED = (400, "ExpiredToken", "The provided token has expired.")  # as AWS says it
FIRST = "/api/2.0/mlflow/experiments/get-by-name"  # what is asked for first
SET_BOTH = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
NO_FILES = "artifact store failed (500 to /api/2.0/mlflow-artifacts/artifacts/"


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with shared_mlflow(tmp_path_factory.mktemp("team")) as servers:
        yield servers


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture(scope="module")
def limit(team: Team, tmp_path_factory: pytest.TempPathFactory) -> float:
    """The seconds that a stage takes here without any server, and the 30 that a fault may add."""
    began = time.monotonic()
    project = Project(tmp_path_factory.mktemp("alone"))
    assert call(project, team.around(MLFLOW_TRACKING_URI=""), "-c", STAGE).returncode == 0
    return time.monotonic() - began + 30


@pytest.mark.parametrize(
    ("changes", "cause", "advice"),
    [
        ({"MLFLOW_TRACKING_PASSWORD": "wrong"}, f"wrong user name or password (401 to {FIRST})", SET_BOTH),
        ({"MLFLOW_TRACKING_USERNAME": ""}, f"wrong user name or password (401 to {FIRST})", SET_BOTH),
        (
            {"MLFLOW_TRACKING_URI": "localhost"},
            f"host name not allowed (403 to {FIRST})",
            "add it to the server's --allowed-hosts",
        ),
    ],
    ids=["wrong password", "no password", "name of the host that is not allowed"],
)
def test_a_stage_that_is_refused_succeeds_reports_why_and_is_sent_once_when_that_is_fixed(
    team: Team, project: Project, limit: float, changes: dict[str, str], cause: str, advice: str
) -> None:
    if "MLFLOW_TRACKING_URI" in changes:
        changes = {"MLFLOW_TRACKING_URI": team.address.replace("127.0.0.1", changes["MLFLOW_TRACKING_URI"])}
    refused = team.around(**changes)
    stage, synced = call(project, refused, "-c", STAGE, limit=limit), call(project, refused, *SYNC, limit=limit)
    assert (stage.returncode, synced.returncode) == (0, 1)
    for printed in (stage.stderr, synced.stderr):
        assert f"MLflow server {refused['MLFLOW_TRACKING_URI']}: {cause}" in printed
        assert advice in printed
    assert "the runs are kept in mlflow.db" in stage.stderr
    assert len(project.runs()) == 2
    sent = [call(project, team.around(), *SYNC).stdout for _ in range(2)]
    assert sent == [f"sent to {team.address}: 2 runs\n", f"{team.address} has all runs\n"]
    assert_all_arrived_once(team, project)


def killed(team: Team, name: str) -> Service:
    return {"mlflow": team.server, "postgres": team.postgres}[name]


@pytest.mark.parametrize("name", ["mlflow", "postgres"])
def test_nothing_is_lost_or_duplicated_when_a_server_is_killed_during_a_stage(
    team: Team, project: Project, tmp_path: Path, limit: float, name: str
) -> None:
    one = started(team, tmp_path)
    try:
        while not [run for run in team.runs() if run.info.status == "RUNNING" and "loss" in run.data.metrics]:
            assert one.poll() is None
            time.sleep(0.2)
        killed(team, name).kill()
        (tmp_path / "server is dead").touch()
        printed = one.communicate(timeout=limit)[1].decode()
    finally:
        one.kill()
        killed(team, name).start()
    assert one.returncode == 0
    assert f"MLflow server {team.address}: " in printed
    assert "the runs are kept in mlflow.db" in printed
    assert call(project, team.around(), *SYNC).returncode == 0
    (stage,) = stages(assert_all_arrived_once(team, project))
    points = team.client().get_metric_history(stage.info.run_id, "loss")
    assert [(point.step, point.value) for point in points] == [(0, 1.0), (1, 0.5)]


def started(team: Team, folder: Path) -> "subprocess.Popen[bytes]":
    """Return a running stage, which goes on once a file says that the server is dead."""
    script = folder / "stage.py"
    script.write_text(LONG_STAGE)
    return subprocess.Popen([sys.executable, str(script)], cwd=folder, env=team.around(), stderr=subprocess.PIPE)


@pytest.mark.parametrize("name", ["mlflow", "postgres"])
def test_sync_reports_what_does_not_answer_and_works_when_it_is_back(
    team: Team, project: Project, limit: float, name: str
) -> None:
    assert call(project, team.around(MLFLOW_TRACKING_URI=""), "-c", STAGE).returncode == 0
    killed(team, name).kill()
    try:
        away = call(project, team.around(), *SYNC, limit=limit)
    finally:
        killed(team, name).start()
    assert away.returncode == 1
    cause = {"mlflow": "can't connect", "postgres": "server error (503 to /api/2.0/mlflow/"}[name]
    assert f"localizer sync: MLflow server {team.address}: {cause}" in away.stderr
    assert call(project, team.around(), *SYNC).returncode == 0
    assert_all_arrived_once(team, project)


@pytest.mark.parametrize("fault", [FULL, EXPIRED], ids=["bucket full", "key expired"])
def test_without_the_bucket_a_stage_succeeds_its_metrics_arrive_and_its_files_follow_later(
    team: Team, project: Project, limit: float, fault: tuple[int, str, str]
) -> None:
    team.faults.fault = fault
    try:
        stage = call(project, team.around(), "-c", STAGE, limit=limit)
        synced = call(project, team.around(), *SYNC, limit=limit)
    finally:
        team.faults.fault = None
    assert (stage.returncode, synced.returncode) == (0, 1)
    assert f"localizer sync: MLflow server {team.address}: {NO_FILES}" in synced.stderr
    assert "/artifacts/texts/notes.txt): the bucket may be full" in synced.stderr
    assert [run.data.metrics["loss"] for run in stages(assert_all_there(team, project))] == [0.2]
    assert call(project, team.around(), *SYNC).returncode == 0
    (run,) = stages(assert_all_arrived_once(team, project))
    assert team.files()[f"{run.info.experiment_id}/{run.info.run_id}/artifacts/texts/notes.txt"] == len("of the run")
