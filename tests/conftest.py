"""What several test files share: torch on one thread less than it might take, and small networks' inputs."""

import pytest


@pytest.fixture(autouse=True)
def _in_an_own_folder(tmp_path, monkeypatch):  # type: ignore[no-untyped-def]
    """Nothing that a test writes by a relative path lands in the checkout."""
    monkeypatch.chdir(tmp_path)
