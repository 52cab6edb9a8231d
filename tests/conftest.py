"""Every test runs in a folder of its own, with no MLflow server: what others left or named doesn't reach it."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # mlflow.set_tracking_uri writes it, too, and it's taken back here


@pytest.fixture(scope="session", autouse=True)
def _dvc_logs_where_the_session_does() -> None:
    """Import DVC outside any test: its loggers keep the streams that they find, and those of a test are closed."""
    import dvc.repo  # noqa: F401
