"""The store that all runs share: its place, opening it at once, and its limits."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow.entities import Run
from tracking_toy import LOG_MODEL, SAVE_MODEL, Project, environment

from localizer.tracking import process_id, store
from localizer.tracking.logged_model import REQUIREMENTS

# MLflow's store, of SQLAlchemy.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")]

STAGE = "import sys; from localizer import tracking\nwith tracking.stage_run(sys.argv[1]): sys.exit(0)"
ENDINGS = """
from contextlib import suppress
from localizer import tracking

endings = {"interrupted": KeyboardInterrupt(), "exit 2": SystemExit(2), "exit 0": SystemExit(0)}
for name, ending in endings.items():
    with suppress(BaseException), tracking.stage_run(name):
        raise ending
with tracking.stage_run("orphan") as run:
    run.store.client.set_terminated(run.id, "KILLED")  # as a later start would, if it seemed dead
"""


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A folder without git and DVC, where three stages started at once on a missing database."""
    project = Project(tmp_path_factory.mktemp("bare"))
    commands = [[sys.executable, "-c", STAGE, name] for name in ("one", "two", "three")]
    around = environment(MLFLOW_RUN_ID="f" * 32)
    started = [subprocess.Popen(command, cwd=project.root, env=around) for command in commands]
    assert [process.wait(timeout=100) for process in started] == [0, 0, 0]
    return project


@pytest.fixture(scope="module")
def by_hand(bare: Project) -> list[Run]:
    """The runs of the three stages."""
    return bare.runs()


def test_three_processes_can_create_the_database_at_once(by_hand: list[Run]) -> None:
    stages = [run.info.run_name for run in by_hand if run.data.tags["kind"] == "stage"]
    assert sorted(stages) == ["one", "three", "two"]
    assert {run.info.status for run in by_hand} == {"FINISHED"}


def test_a_stage_started_by_hand_is_its_own_execution(by_hand: list[Run]) -> None:
    assert len([run for run in by_hand if run.data.tags["kind"] == "pipeline"]) == 3


def test_without_git_and_dvc_the_code_is_unknown_and_there_are_no_digests(by_hand: list[Run]) -> None:
    for run in by_hand:
        assert run.data.tags["git.commit"] == run.data.tags["git.dirty"] == "unknown"
        assert not [name for name in run.data.tags if name.startswith(("in.", "out.", "key"))]


@pytest.fixture(scope="module")
def endings(bare: Project, by_hand: list[Run]) -> dict[str, str]:
    """The statuses of stages that one process ended in several ways."""
    done = bare.run("-c", ENDINGS)
    assert done.returncode == 0, done.stdout
    earlier = {run.info.run_id for run in by_hand}
    return {run.info.run_name: run.info.status for run in bare.runs() if run.info.run_id not in earlier}


@pytest.mark.parametrize(
    ("stage", "status"),
    [("interrupted", "KILLED"), ("exit 2", "FAILED"), ("exit 0", "FINISHED"), ("orphan", "KILLED")],
)
def test_a_runs_status_is_how_its_stage_ended(endings: dict[str, str], stage: str, status: str) -> None:
    assert endings[stage] == status


def test_stages_of_one_process_share_the_pipelines_run(endings: dict[str, str]) -> None:
    assert len(endings) == 5
    assert endings["unknown unknown"] == "FINISHED"


@pytest.fixture(scope="module")
def logged(bare: Project, by_hand: list[Run]) -> Path:
    """The folder of a model that a script logged, where Python may write bytecode."""
    around = environment(PYTHONDONTWRITEBYTECODE="")
    command = [sys.executable, "-c", SAVE_MODEL + LOG_MODEL]
    done = subprocess.run(command, cwd=bare.root, env=around, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr  # MLflow tries the model as it is served, and only warns where that fails
    (folder,) = (bare.root / "mlartifacts").glob("models/*/artifacts")
    return folder


def test_a_logged_model_has_its_weights_and_their_card_in_one_folder(bare: Project, logged: Path) -> None:
    names = ["localizer.json", "localizer.safetensors"]
    assert sorted(path.name for path in (logged / "artifacts").iterdir()) == names
    for name in names:
        assert (logged / "artifacts" / name).read_bytes() == (bare.root / "models" / name).read_bytes()


def test_a_logged_model_has_the_package_as_source_and_no_pickle(logged: Path) -> None:
    sources = Path(str(store.__file__)).parents[1]
    ours = {path.relative_to(sources) for path in sources.rglob("*.py")}
    assert {path.relative_to(logged / "code/localizer") for path in (logged / "code").rglob("*.py")} == ours
    assert not [*logged.rglob("__pycache__"), *logged.rglob("*.pkl"), *logged.rglob("*.pth"), *logged.rglob("*.pt2")]


def test_a_logged_model_pins_few_packages(logged: Path) -> None:
    named = [line.split("==") for line in (logged / "requirements.txt").read_text().splitlines()]
    assert [name for name, _ in named] == [*REQUIREMENTS]
    assert not [number for _, number in named if "+" in number]


def test_a_logged_model_is_hardly_larger_than_its_weights(logged: Path) -> None:
    size = sum(path.stat().st_size for path in logged.rglob("*") if path.is_file())
    assert size < (logged / "artifacts/localizer.safetensors").stat().st_size + 2 * 2**20


@pytest.mark.parametrize(
    ("key", "fitting"),
    [
        ("in.data/a/raw", "in.data/a/raw"),
        ("stage.train@0", "stage.train_0"),
        ("in.s3://bucket/key", "in.s3_/bucket/key"),
        ("in.../outside", "in.__/outside"),
        ("in.größe", "in.größe"),
        ("k" * 300, "k" * 250),
    ],
)
def test_a_key_is_sanitized(key: str, fitting: str) -> None:
    assert store.sanitize_key(key) == fitting


def test_a_running_process_has_not_ended() -> None:
    assert not process_id.has_ended(process_id.own_process_id())


def test_a_process_has_ended_even_before_its_parent_collects_it() -> None:
    code = "from localizer.tracking import process_id; print(process_id.own_process_id(), flush=True); input()"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        name = process.stdout.readline().decode().strip()
        assert not process_id.has_ended(name)
        process.stdin.close()
        process.stdout.read()  # to its end, which comes with the process's
        deadline = time.monotonic() + 10
        while not process_id.has_ended(name) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert process_id.has_ended(name)


def test_a_later_process_with_the_same_pid_is_another_one() -> None:
    host, pid, tick = process_id.own_process_id().rsplit(":", 2)
    assert process_id.has_ended(f"{host}:{pid}:{int(tick) - 1}")


def test_a_process_on_another_host_counts_as_running() -> None:
    assert not process_id.has_ended("elsewhere:1:1")


def test_the_main_checkout_is_in_dvc_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert store.main_checkout() == tmp_path


def test_outside_of_dvc_the_main_checkout_is_the_folder_with_dvcs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DVC_ROOT", raising=False)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "stages").mkdir()
    monkeypatch.chdir(tmp_path / "stages")
    assert store.main_checkout() == tmp_path


def test_importing_tracking_does_not_import_mlflow() -> None:
    code = "import sys, localizer.tracking; print({'mlflow', 'torch', 'dvc', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True)
    assert done.stdout.strip() == "set()"


ASKED = "from mlflow.telemetry.client import get_telemetry_client; print(get_telemetry_client())"
OPENED = f"from localizer.tracking.store import open_store; open_store(); {ASKED}"
IN_CI = ("CI", "GITHUB_ACTIONS", "PYTEST_CURRENT_TEST")  # where these are set MLflow sends none anyway


def test_mlflow_sends_no_telemetry_and_prints_nothing_when_it_creates_its_database(tmp_path: Path) -> None:
    around = {name: value for name, value in environment().items() if name not in IN_CI}
    done = subprocess.run([sys.executable, "-c", OPENED], cwd=tmp_path, env=around, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("None\n", "")


def test_without_its_setting_mlflow_would_send_telemetry(tmp_path: Path) -> None:
    around = {name: value for name, value in environment().items() if name not in IN_CI}
    done = subprocess.run([sys.executable, "-c", ASKED], cwd=tmp_path, env=around, capture_output=True, text=True)
    assert "TelemetryClient" in done.stdout


WATCHED = """
import numpy as np, time
from localizer import tracking

with tracking.stage_run("train") as run, run.log_system_metrics():
    run.log_image(np.zeros((8, 8, 3), dtype=np.uint8), key="validation", step=4)
    time.sleep(1.5)
"""


def test_a_stage_logs_images_and_system_metrics(tmp_path: Path) -> None:
    project = Project(tmp_path)
    around = environment(MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL="0.2")
    done = subprocess.run([sys.executable, "-c", WATCHED], cwd=tmp_path, env=around, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "monitor" not in done.stderr
    (stage,) = [run for run in project.runs() if run.data.tags["kind"] == "stage"]
    assert stage.data.metrics["system/system_memory_usage_percentage"] > 0
    shown = [file.path for file in project.client.list_artifacts(stage.info.run_id, "images")]
    assert any(path.startswith("images/validation") and path.endswith(".png") for path in shown)
