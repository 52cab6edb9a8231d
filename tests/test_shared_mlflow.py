"""A team's MLflow, of real processes: PostgreSQL, MLflow's server with passwords as compose.yaml starts it, and S3."""

import http.client
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from mlflow.entities import Run
from PIL import Image
from shared_mlflow import PEOPLE, POSTGRES, SECRETS, Service, Team, shared_mlflow
from test_sending import LOAD, LONG_STAGE, STAGE, SYNC
from tracking_toy import SAVE_MODEL, Project

pytestmark = [
    pytest.mark.skipif(POSTGRES is None, reason="PostgreSQL is not installed; .ci/run installs it"),
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning"),  # MLflow's store, of SQLAlchemy
]
FULL = (403, "QuotaExceeded", "the bucket is full")  # as Ceph says it
EXPIRED = (400, "ExpiredToken", "The provided token has expired.")  # as AWS says it
FIRST = "/api/2.0/mlflow/experiments/get-by-name"  # what is asked for first
SET_BOTH = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
NO_FILES = "it can't use its store of files (500 to /api/2.0/mlflow-artifacts/artifacts/"


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with shared_mlflow(tmp_path_factory.mktemp("team")) as servers:
        yield servers


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def call(
    project: Project, around: dict[str, str], *arguments: str, limit: float = 300
) -> "subprocess.CompletedProcess[str]":
    """Run Python in the project; TimeoutExpired where it doesn't end within the limit, in seconds."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=project.root, env=around, capture_output=True, text=True, timeout=limit)


@pytest.fixture(scope="module")
def limit(team: Team, tmp_path_factory: pytest.TempPathFactory) -> float:
    """The seconds that a stage takes here without any server, and the 30 that a fault may add."""
    began = time.monotonic()
    project = Project(tmp_path_factory.mktemp("alone"))
    assert call(project, team.around(MLFLOW_TRACKING_URI=""), "-c", STAGE).returncode == 0
    return time.monotonic() - began + 30


def assert_all_there(team: Team, project: Project) -> list[Run]:
    """Return the server's runs of the project: each is there once."""
    kept = {run.info.run_id for run in project.runs()}
    arrived = [run for run in team.runs() if run.data.tags["origin"] in kept]
    assert sorted(run.data.tags["origin"] for run in arrived) == sorted(kept)
    return arrived


def assert_all_arrived_once(team: Team, project: Project) -> list[Run]:
    """Return the server's runs of the project: each is there once, and whole."""
    kept = {run.info.run_id: run for run in project.runs()}
    arrived = assert_all_there(team, project)
    for run in arrived:
        own = kept[run.data.tags["origin"]]
        assert (run.info.status, run.info.end_time) == (own.info.status, own.info.end_time)
        assert (run.data.params, run.data.metrics) == (own.data.params, own.data.metrics)
    return arrived


@pytest.fixture(scope="module")
def both(team: Team, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Project]:
    """Two pipelines that ran at once, by two people, who logged to a server without any experiment of theirs."""
    projects = {person: Project(tmp_path_factory.mktemp(person)) for person in PEOPLE}
    for project in projects.values():
        project.make()
    command = [sys.executable, "-m", "dvc", "repro"]
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
    started = [
        subprocess.Popen(command, cwd=project.root, env=team.around(person), **streams)
        for person, project in projects.items()
    ]
    assert [process.wait(timeout=300) for process in started] == [0, 0]
    for person, project in projects.items():
        assert call(project, team.around(person), *SYNC).returncode == 0
    return projects


def test_two_pipelines_log_at_once_each_run_once_and_whole(team: Team, both: dict[str, Project]) -> None:
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


@pytest.mark.parametrize(
    ("changes", "cause", "advice"),
    [
        ({"MLFLOW_TRACKING_PASSWORD": "wrong"}, f"it refuses name and password (401 to {FIRST})", SET_BOTH),
        ({"MLFLOW_TRACKING_USERNAME": ""}, f"it refuses name and password (401 to {FIRST})", SET_BOTH),
        (
            {"MLFLOW_TRACKING_URI": "localhost"},
            f"it takes no requests for this host's name (403 to {FIRST})",
            "add the name to the server's --allowed-hosts",
        ),
    ],
    ids=["wrong password", "no password", "name of the host that is not allowed"],
)
def test_a_stage_that_is_refused_ends_well_says_why_and_is_sent_once_when_that_is_mended(
    team: Team, project: Project, limit: float, changes: dict[str, str], cause: str, advice: str
) -> None:
    if "MLFLOW_TRACKING_URI" in changes:
        changes = {"MLFLOW_TRACKING_URI": team.address.replace("127.0.0.1", changes["MLFLOW_TRACKING_URI"])}
    refused = team.around(**changes)
    stage, synced = call(project, refused, "-c", STAGE, limit=limit), call(project, refused, *SYNC, limit=limit)
    assert (stage.returncode, synced.returncode) == (0, 1)
    for told in (stage.stderr, synced.stderr):
        assert f"MLflow server {refused['MLFLOW_TRACKING_URI']}: {cause}" in told
        assert advice in told
    assert "the runs are kept in mlflow.db" in stage.stderr
    assert len(project.runs()) == 2
    told = [call(project, team.around(), *SYNC).stdout for _ in range(2)]
    assert told == [f"sent to {team.address}: 2 runs\n", f"{team.address} has all runs\n"]
    assert_all_arrived_once(team, project)


def killed(team: Team, name: str) -> Service:
    return {"mlflow": team.server, "postgres": team.postgres}[name]


@pytest.mark.parametrize("name", ["mlflow", "postgres"])
def test_nothing_is_lost_and_nothing_comes_twice_when_a_server_is_killed_in_the_middle_of_a_stage(
    team: Team, project: Project, tmp_path: Path, limit: float, name: str
) -> None:
    one = started(team, tmp_path)
    try:
        while not [run for run in team.runs() if run.info.status == "RUNNING" and "loss" in run.data.metrics]:
            assert one.poll() is None
            time.sleep(0.2)
        killed(team, name).kill()
        (tmp_path / "server is dead").touch()
        told = one.communicate(timeout=limit)[1].decode()
    finally:
        one.kill()
        killed(team, name).start()
    assert one.returncode == 0
    assert f"MLflow server {team.address}: " in told
    assert "the runs are kept in mlflow.db" in told
    assert call(project, team.around(), *SYNC).returncode == 0
    (stage,) = stages(assert_all_arrived_once(team, project))
    points = team.client().get_metric_history(stage.info.run_id, "loss")
    assert [(point.step, point.value) for point in points] == [(0, 1.0), (1, 0.5)]


def started(team: Team, folder: Path) -> "subprocess.Popen[bytes]":
    """Return a stage at work, which goes on when it is told that the server is dead."""
    script = folder / "stage.py"
    script.write_text(LONG_STAGE)
    return subprocess.Popen([sys.executable, str(script)], cwd=folder, env=team.around(), stderr=subprocess.PIPE)


def stages(runs: list[Run]) -> list[Run]:
    return [run for run in runs if run.data.tags["kind"] == "stage"]


@pytest.mark.parametrize("name", ["mlflow", "postgres"])
def test_sync_says_what_does_not_answer_and_works_when_it_is_back(
    team: Team, project: Project, limit: float, name: str
) -> None:
    assert call(project, team.around(MLFLOW_TRACKING_URI=""), "-c", STAGE).returncode == 0
    killed(team, name).kill()
    try:
        away = call(project, team.around(), *SYNC, limit=limit)
    finally:
        killed(team, name).start()
    assert away.returncode == 1
    cause = {"mlflow": "no one answers there", "postgres": "it answers with an error (503 to /api/2.0/mlflow/"}[name]
    assert f"localizer sync: MLflow server {team.address}: {cause}" in away.stderr
    assert call(project, team.around(), *SYNC).returncode == 0
    assert_all_arrived_once(team, project)


@pytest.mark.parametrize("fault", [FULL, EXPIRED], ids=["bucket full", "key expired"])
def test_without_the_bucket_a_stage_ends_well_its_numbers_arrive_and_its_files_come_later(
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


def test_a_model_whose_files_were_refused_at_first_comes_once(team: Team, model: tuple[Run, str]) -> None:
    found = team.client().search_logged_models([model[0].info.experiment_id])
    own = [one for one in found if one.source_run_id == model[0].info.run_id]
    assert [(one.model_id, str(one.status)) for one in own] == [(model[1], "READY")]


@pytest.mark.parametrize(("direct", "told"), [("false", "24.0 16.0 72.0 48.0 None\n"), ("", "")], ids=["docs", "else"])
def test_another_engineer_loads_the_model_through_the_server_with_the_variable_that_the_docs_name(
    team: Team, model: tuple[Run, str], tmp_path: Path, direct: str, told: str
) -> None:
    around = team.around("ben", PYTHONPATH="")
    if direct:
        around |= {"MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": direct}
    command = [sys.executable, "-c", LOAD, f"models:/{model[1]}"]
    done = subprocess.run(command, cwd=tmp_path, env=around, capture_output=True, text=True)
    # A fresh head answers the centred half, and the example has 96 x 64 pixels.
    assert done.stdout == told, done.stderr


PREDICT = ["-m", "localizer.cli", "predict", "one.png", "--model"]


def test_localizer_predicts_with_the_model_through_the_server(
    team: Team, model: tuple[Run, str], project: Project
) -> None:
    Image.new("RGB", (96, 64)).save(project.root / "one.png")
    done = call(project, team.around("ben"), *PREDICT, f"models:/{model[1]}")
    assert '"box_xyxy_px": [24.0, 16.0, 72.0, 48.0]' in done.stdout, done.stderr


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


def test_files_are_had_with_a_password_only(team: Team, model: tuple[Run, str]) -> None:
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
