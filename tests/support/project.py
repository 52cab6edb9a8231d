"""A copy of the checkout as a project of its own, and commands run in it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from localizer.config import read_yaml
from localizer.files import file_sha256

ROOT = Path(__file__).resolve().parents[2]
STAGES = ["prepare", "validate", "split", "train", "evaluate"]
TINY: dict[str, dict[str, Any]] = {
    "demo": {"scenes": 60, "seed": 0},
    "split": {"train": 0.6, "validation": 0.1, "calibration": 0.1, "test": 0.2},
    "train": {"epochs": 1, "min_steps": 0, "image_size": 32, "batch_size": 8},
}


def run(clone: Path, *command: str, status: int = 0, server: str = "") -> str:
    """Run a command in the clone, as from a shell; return what it printed. `server` is where copies of the runs go."""
    ours = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "MLFLOW_TRACKING_URI": server}
    done = subprocess.run(
        command, cwd=clone, env=os.environ | ours, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == status, done.stdout
    return done.stdout


def stages_run(output: str) -> list[str]:
    return re.findall(r"Running stage '(?:data/\w+/dvc\.yaml:)?(\w+)'", output)


def set_params(clone: Path, changes: dict[str, dict[str, Any]]) -> None:
    """Change values in params.yaml in place, so that its comments stay."""
    text = (clone / "params.yaml").read_text(encoding="utf-8")
    for section, values in changes.items():
        for key, value in values.items():
            pattern = rf"(?ms)(^{section}:.*?^  {key}: )\S+"
            text, count = re.subn(pattern, rf"\g<1>{value}", text, count=1)
            assert count == 1, (section, key)
    (clone / "params.yaml").write_text(text, encoding="utf-8")


def copy_checkout(folder: Path) -> None:
    """Copy the checkout's files as git would clone them."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())


def make_project(folder: Path, params: dict[str, dict[str, Any]]) -> None:
    """Make a copy of the checkout, with changed parameters, under git; nothing is committed."""
    copy_checkout(folder)
    set_params(folder, params)
    run(folder, "git", "init", "-q")


def finish_project(folder: Path, store: Path) -> None:
    """Make a tiny project and run its pipeline; what names this folder goes: MLflow's database and files, locks."""
    make_project(folder, TINY)
    shutil.copy(store, folder / "mlflow.db")
    run(folder, "dvc", "repro")
    for name in ("mlflow.db", "mlartifacts", ".dvc/tmp", ".localizer/locks"):
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def copy_project(finished: Path, folder: Path, params: dict[str, dict[str, Any]], *, store: Path) -> None:
    """Copy a finished project, with changed parameters and an empty MLflow database."""
    shutil.copytree(finished, folder, symlinks=True, dirs_exist_ok=True)
    shutil.copy(store, folder / "mlflow.db")
    set_params(folder, params)


def outputs(project: Path, stage: str) -> dict[str, str]:
    """Return the digests of all files that DVC knows as a stage's, by path."""
    told = read_yaml(project / "dvc.yaml")["stages"][stage]
    entries = [entry for kind in ("outs", "metrics") for entry in told[kind]]
    places = [project / (next(iter(entry)) if isinstance(entry, dict) else entry) for entry in entries]
    files = [file for place in places for file in ([place] if place.is_file() else sorted(place.rglob("*.*")))]
    assert len(files) >= len(places)
    return {str(file.relative_to(project)): file_sha256(file) for file in files}


def commit(folder: Path) -> None:
    """Commit all that is there."""
    run(folder, "git", "add", "-A")
    run(folder, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "state")
