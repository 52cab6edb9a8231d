"""Fetching what is missing in a data set, with DVC itself."""

import subprocess
import sys
from pathlib import Path

import pytest

from localizer.datasets.versions.fetch import fetch

PIPELINE = "stages:\n  fetch:\n    cmd: {command}\n    outs: [raw]\n"


def dvc(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *arguments], check=True, capture_output=True)


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the empty folder of a data set in a project of DVC."""
    monkeypatch.setenv("DVC_NO_ANALYTICS", "true")
    dvc("init", "--no-scm", "--quiet")
    made = Path("data/toy")
    made.mkdir(parents=True)
    return made


def test_a_set_with_its_own_pipeline_is_made_by_it(folder: Path) -> None:
    (folder / "dvc.yaml").write_text(PIPELINE.format(command="mkdir raw && echo x > raw/a.jpg"))
    assert fetch(folder) == ""
    assert (folder / "raw" / "a.jpg").read_text() == "x\n"


def test_a_pipeline_that_fails_is_reported(folder: Path) -> None:
    (folder / "dvc.yaml").write_text(PIPELINE.format(command="exit 3"))
    problem = fetch(folder)
    assert problem.startswith("dvc repro: ")
    assert "failed to reproduce 'data/toy/dvc.yaml:fetch': failed to run: exit 3" in problem


def test_of_a_long_error_the_end_is_reported_on_one_line(folder: Path) -> None:
    (folder / "dvc.yaml").write_text(PIPELINE.format(command="seq 1000 >&2; exit 3"))
    problem = fetch(folder)
    assert len(problem) == len("dvc repro: ") + 300
    assert "\n" not in problem
    assert "exit 3" in problem


def test_images_that_dvc_keeps_are_pulled_from_the_remote(folder: Path) -> None:
    images = folder / "raw" / "images"
    images.mkdir(parents=True)
    (images / "a.jpg").write_text("x")
    Path("remote").mkdir()
    dvc("remote", "add", "--default", "there", "remote")
    dvc("add", "--quiet", str(images))
    dvc("push", "--quiet")
    (images / "a.jpg").unlink()
    assert fetch(folder) == ""
    assert (images / "a.jpg").read_text() == "x"


def test_images_without_a_remote_are_reported_as_missing(folder: Path) -> None:
    digest = "0123456789abcdef0123456789abcdef.dir"
    (folder / "raw").mkdir()
    (folder / "raw" / "images.dvc").write_text(f"outs:\n- md5: {digest}\n  hash: md5\n  path: images\n")
    problem = fetch(folder)
    assert problem.startswith("dvc pull: ")
    assert "data/toy/raw/images" in problem


def test_a_set_that_dvc_knows_nothing_of_needs_no_fetching(tmp_path: Path) -> None:
    assert fetch(tmp_path) == ""
