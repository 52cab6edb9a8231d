"""A correction in a data set that has a DVC stage: `localizer validate` warns, and prints how to keep it.

Where LOCALIZER_MIRROR names a mirror, that is done with the two real sets, too.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from project import TINY, commit, make_project, run
from test_command_validate import CLEAN, CONFIG, photos, validate
from test_command_validate import commit as commit_all

from localizer.tables import read_table

PIPELINE = """
stages:
  mine:
    wdir: ../..
    cmd: cp -r source data/mine/raw
    deps: [source]
    outs: [data/mine/raw]
"""
WHITE = "<xmin>260</xmin>\n\t\t\t<ymin>177<"  # of the white cell on the first image of bccd
pytestmark = pytest.mark.pipeline

WARNING = "localizer validate: WARNING: data/mine/raw: changed since data/mine/dvc.yaml wrote it; `dvc repro` will "


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """Make data/mine in a project of DVC, without git; return the annotations that its stage has made."""
    photos(tmp_path / "source/images")
    Path("source/boxes.csv").write_text(CLEAN)
    Path("data/mine").mkdir(parents=True)
    Path("data/mine/dataset.yaml").write_text(CONFIG)
    Path("data/mine/dvc.yaml").write_text(PIPELINE)
    for command in (
        ["init", "--no-scm", "-q"],
        ["config", "core.analytics", "false"],
        ["repro", "-q", "-P", "-R", "."],
    ):
        subprocess.run([sys.executable, "-m", "dvc", *command], check=True)
    return Path("data/mine/raw/boxes.csv")


def correct(path: Path) -> None:
    path.write_text(CLEAN.replace("20,20,60,50", "21,20,60,50"))


def test_an_unchanged_set_has_no_warning(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate("data/mine") == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("target", ["data/mine", "data/mine/raw/boxes.csv"])
def test_a_changed_set_has_a_warning_and_keeps_its_status(
    mine: Path, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    correct(mine)
    assert validate(target) == 0
    printed = capsys.readouterr()
    assert "WARNING" not in printed.out
    assert f"{WARNING}overwrite your changes.\n" in printed.err


def test_the_warning_is_printed_from_within_the_folder_too(
    mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    correct(mine)
    monkeypatch.chdir("data/mine")
    assert validate(".") == 0
    assert capsys.readouterr().err.startswith(WARNING)


def test_a_set_that_changed_since_a_commit_has_a_warning_too(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commit_all()
    correct(mine)
    assert validate("--since", "HEAD") == 1  # for half of the boxes have moved
    assert capsys.readouterr().err.startswith(WARNING)


def test_a_set_without_a_stage_has_no_warning(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    correct(mine)
    Path("data/mine/dvc.yaml").unlink()
    assert validate("data/mine") == 0
    assert capsys.readouterr().err == ""


def test_a_set_outside_of_a_project_has_no_warning(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    correct(mine)
    Path(".dvc").rename("elsewhere")
    assert validate("data/mine") == 0
    assert capsys.readouterr().err == ""


def test_a_broken_config_is_reported_first(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    correct(mine)
    Path("data/mine/dataset.yaml").write_text("title: [")
    assert validate("data/mine") == 1
    assert capsys.readouterr().err == ""


def test_another_set_is_never_overwritten(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    correct(mine)
    Path("data/mine-mine").mkdir()
    assert validate("data/mine") == 0
    assert "cp -r data/mine data/mine-mine1\n" in capsys.readouterr().err


def commands(printed: str) -> list[str]:
    """Return the commands that a warning proposes."""
    return re.findall(r"^  (.*)$", printed.partition("WARNING: ")[2], re.MULTILINE)


def kept(project: Path, name: str, path: str, old: str, new: str) -> str:
    """Correct a line of a set's annotations, and do all that validate says then, up to the stage validate."""
    file = project / "data" / name / "raw" / path
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1
    file.write_text(text.replace(old, new), encoding="utf-8")
    *before, last = commands(run(project, "localizer", "validate", f"data/{name}"))
    for command in before:
        run(project, "sh", "-c", command)
    assert run(project, "git", "status", "--short", f"data/{name}-mine") == ""
    return run(project, "sh", "-c", f"{last} validate")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    make_project(folder, TINY)
    for name, value in {"name": "t", "email": "t@example.org"}.items():
        run(folder, "git", "config", f"user.{name}", value)
    run(folder, "dvc", "repro", "data/demo/dvc.yaml")
    commit(folder)
    return folder


def test_the_proposed_way_keeps_a_correction_that_would_be_lost(project: Path) -> None:
    printed = kept(project, "demo", "annotations.csv", "98,39,149,123", "90,39,149,123")
    assert "Running stage 'validate'" in printed
    clean = read_table(project / "tables/clean.csv").set_index("image")
    assert clean.loc["000000.jpg", ["xmin_px", "xmax_px"]].to_numpy().tolist() == ["90.0", "149.0"]
    assert (project / "tables/dataset.yaml").read_bytes() == (project / "data/demo/dataset.yaml").read_bytes()
    run(project, "dvc", "repro", "data/demo/dvc.yaml")
    assert "98,39,149,123" in (project / "data/demo/raw/annotations.csv").read_text()
    assert "WARNING" not in run(project, "localizer", "validate", "data/demo-mine")


@pytest.mark.skipif("LOCALIZER_MIRROR" not in os.environ, reason="LOCALIZER_MIRROR names no mirror")
@pytest.mark.parametrize(
    ("name", "path", "old", "new", "image"),
    [
        ("raccoon", "data/raccoon_labels.csv", "raccoon,81,88,522,408", "raccoon,91,88,522,408", "raccoon-1.jpg"),
        ("bccd", "BCCD/Annotations/BloodImage_00000.xml", WHITE, WHITE.replace("260", "91"), "BloodImage_00000.jpg"),
    ],
    ids=["raccoon", "bccd"],
)
def test_the_proposed_way_keeps_a_correction_of_a_real_set(
    project: Path, name: str, path: str, old: str, new: str, image: str
) -> None:
    run(project, "dvc", "repro", f"data/{name}/dvc.yaml")
    kept(project, name, path, old, new)
    clean = read_table(project / "tables/clean.csv").set_index("image")
    assert clean.loc[image, "xmin_px"] == "90.0"
    (pointer,) = (project / "data" / f"{name}-mine").rglob("*.dvc")
    assert pointer.read_text().endswith("  push: false\n")
