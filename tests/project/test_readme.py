"""Commands of the README and the documentation that are run as they are written."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tracking_toy import Project

from localizer.config import read_yaml

# MLflow's store, of SQLAlchemy.
pytestmark = [pytest.mark.pipeline, pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")]

ROOT = Path(__file__).resolve().parents[2]
README, COMPARE = ROOT / "README.md", ROOT / "docs/how-to/compare-and-promote.md"
SHOWN = ["dvc.yaml", "dvc.lock", "params.yaml", ".dvc/config", "reports/evaluate/metrics.json"]


def line(begins: str, *, page: Path) -> str:
    """Return the one command of a page that begins so, without its comment."""
    (found,) = re.findall(rf"^{begins}.*$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return str(found).partition("  #")[0]


def run(*command: str) -> str:
    ours = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(command, env=os.environ | ours, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_table_of_experiments_has_their_names_their_results_and_what_made_them() -> None:
    for name in SHOWN:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, name)
    run("git", "init", "-q")
    run("git", "add", "-A")
    run("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "state")
    shown = [row.split() for row in run("bash", "-c", line("dvc exp show", page=COMPARE)).splitlines()]
    heads, workspace = (next(row for row in shown if row[:1] == [name]) for name in ("Experiment", "workspace"))
    assert heads[1:] == ["mean_iou", "mean_box_iou", "prepare.dataset", "train.epochs", "train.lr"]
    params = read_yaml(ROOT / "params.yaml")
    assert workspace[3:] == [params["prepare"]["dataset"], *(str(params["train"][name]) for name in ("epochs", "lr"))]


def test_after_an_experiment_one_line_brings_back_the_commits_parameters_and_model(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.make()  # of its two data sets one is never fetched
    assert project.step("repro").code == 0
    project.commit()
    params = Path("params.yaml").read_text()
    assert project.step("exp", "run", "-S", "train.lr=0.3").code == 0
    assert (Path("models/a.bin").read_text(), Path("params.yaml").read_text() == params) == ("0.3", False)
    run("bash", "-c", line("git restore", page=README))
    assert (Path("models/a.bin").read_text(), Path("params.yaml").read_text() == params) == ("0.1", True)
    assert "up to date" in run("dvc", "status", "dvc.yaml")
