"""Every test runs in a folder of its own, with no MLflow server: what others left or named doesn't reach it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from project import finish_project


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # mlflow.set_tracking_uri writes it, too, and it's taken back here


@pytest.fixture(scope="module", autouse=True)
def _removes_its_folders(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Remove the folders of a module whose tests have passed: those of all modules together fill a small disk."""
    base, failed = tmp_path_factory.getbasetemp(), request.session.testsfailed
    before = {*base.iterdir(), base / "empty_store", base / "finished_project"}
    yield
    for folder in {*base.iterdir()} - before if request.session.testsfailed == failed else ():
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def _dvc_logs_where_the_session_does() -> None:
    """Import DVC outside any test: its loggers keep the streams that they find, and those of a test are closed."""
    import dvc.repo  # noqa: F401


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables and nothing in them, to be copied: making one takes 7 s, a copy 0.1 s.

    It is made once for all workers, and in another process, since MLflow switches off this one's loggers then. A
    store's artifacts lie where its experiment says, which is made in the copy.
    """
    folder = shared_folder(tmp_path_factory, "empty_store")
    made, store = "from mlflow import MlflowClient; MlflowClient('sqlite:///new.db').search_experiments()", "mlflow.db"
    with FileLock(folder / "lock"):
        if not (folder / store).exists():
            subprocess.run([sys.executable, "-c", made], cwd=folder, check=True, capture_output=True)
            (folder / "new.db").rename(folder / store)
    return folder / store


@pytest.fixture(scope="session")
def finished_project(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """A tiny project whose five stages have run, to be copied by `copy_project`; made once for all workers."""
    folder = shared_folder(tmp_path_factory, "finished_project")
    with FileLock(folder / "lock"):
        if not (folder / "project").exists():
            finish_project(folder / "new", empty_store)
            (folder / "new").rename(folder / "project")
    return folder / "project"


def shared_folder(tmp_path_factory: pytest.TempPathFactory, name: str) -> Path:
    """Return a folder that all workers of this session share."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / name
    folder.mkdir(exist_ok=True)
    return folder
