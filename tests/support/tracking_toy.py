"""A toy pipeline of three stages for dvc, and the means to run it and to read what it logged."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run

from localizer import config

SOURCES = Path(config.__file__).parents[1]
PARAMS: dict[str, dict[str, Any]] = {
    "prepare": {"dataset": "a", "long": "x" * 7000},
    "train": {"lr": 0.1, "fault": "none"},
    "evaluate": {"threshold": 0.5},
    "unused": {f"key_{number}": number for number in range(120)},
}
DATASET = """
stages:
  make:
    cmd: mkdir data/{name}/raw && echo {name} > data/{name}/raw/1.txt
    wdir: ../..
    deps: [data/{name}/dataset.yaml]
    outs: [data/{name}/raw]
"""
PIPELINE = """
stages:
  prepare:
    cmd: {python} stages/prepare.py
    deps: [stages/prepare.py, "data/${{prepare.dataset}}/raw"]
    params: [prepare]
    outs: [data/table.csv]
  train:
    cmd: {python} stages/train.py
    deps: [stages/train.py, data/table.csv]
    params: [train]
    outs: [models]
    metrics: [{{reports/train.json: {{cache: false}}}}]
  evaluate:
    cmd: {python} stages/evaluate.py
    deps: [stages/evaluate.py, models, data/table.csv]
    params: [evaluate]
    metrics: [{{reports/metrics.json: {{cache: false}}}}]
"""
PREPARE = """
import pandas as pd
from pathlib import Path
from localizer import tracking

with tracking.stage_run("prepare") as run:
    frame = pd.DataFrame({"image": ["one", "two"], "xmin": [1, 2]})
    frame.to_csv("data/table.csv", index=False)
    run.log_table(frame, name="toy", context="training")
"""
TRAIN = """
import os, signal
from pathlib import Path
from localizer import config, tracking

params = config.read_yaml(config.PARAMS)["train"]
with tracking.stage_run("train") as run:
    for step in range(3):
        run.log_metrics({"loss": params["lr"] * step, "odd": float("nan")}, step=step)
    if params["fault"] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if params["fault"] == "change":
        Path("data/table.csv").write_text("other")
    if params["fault"] == "raise":
        raise ValueError("a fault was asked for")
    Path("models").mkdir()
    Path("reports").mkdir(exist_ok=True)
    Path("models/a.bin").write_text(str(params["lr"]))
    Path("models/b.bin").write_text("b")
    Path("reports/train.json").write_text("{}")
    run.log_artifact(Path("models"))
"""
EVALUATE = """
from pathlib import Path
from localizer import tracking

with tracking.stage_run("evaluate") as run:
    Path("reports/metrics.json").write_text("{}")
    run.log_metrics({"test_iou": 0.5})
    run.log_highlight(Path("reports/metrics.json"))
"""
SAVE_MODEL = """
from pathlib import Path
from localizer.calibration import Calibration
from localizer.model import saving
from localizer.model.localizer import Architecture, Localizer

told = {"label": "cat", "best_epoch": 1, "val_iou": 0.5, "params": {}, "calibration": Calibration(20, 0.25, 0.9)}
Path("models").mkdir(exist_ok=True)
saving.save(Path("models/localizer.safetensors"), Localizer(Architecture(18)), image_size=32, **told)
"""
LOG_MODEL = """
from pathlib import Path
from localizer import tracking

with tracking.stage_run("train") as run:
    print(run.log_model(Path("models/localizer.safetensors")))
"""


@dataclass(frozen=True)
class Step:
    """The runs that one command made, as they were when it ended, and the lock that it left."""

    code: int
    output: str
    runs: list[Run]
    lock: dict[str, Any]

    @property
    def pipeline(self) -> Run:
        (run,) = (run for run in self.runs if run.data.tags["kind"] == "pipeline")
        return run

    @property
    def stages(self) -> dict[str, Run]:
        return {run.info.run_name: run for run in self.runs if run.data.tags["kind"] == "stage"}


class Project:
    """A folder in which stages run, and the database beside them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._seen: set[str] = set()

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(f"sqlite:///{self.root / 'mlflow.db'}")

    def runs(self) -> list[Run]:
        experiment = self.client.get_experiment_by_name("localizer")
        return list(self.client.search_runs([experiment.experiment_id])) if experiment else []

    def set(self, old: str, new: str) -> None:
        path = self.root / "params.yaml"
        path.write_text(path.read_text().replace(old, new))

    def commit(self) -> str:
        self._git("add", "-A")
        self._git("commit", "-qm", "state")
        return self._git("rev-parse", "HEAD").strip()

    def make(self) -> None:
        """Write the toy pipeline, under git and DVC."""
        for name, text in _files().items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(text)
        self._git("init", "-q")
        self.run("-m", "dvc", "init", "-q")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python, without raising on failure; its output has stdout and stderr together."""
        streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.run([sys.executable, *arguments], cwd=self.root, env=environment(), **streams)

    def step(self, *arguments: str) -> Step:
        done = self.run("-m", "dvc", *arguments)
        made = [run for run in self.runs() if run.info.run_id not in self._seen]
        self._seen |= {run.info.run_id for run in made}
        return Step(done.returncode, done.stdout, made, config.read_yaml(self.root / "dvc.lock")["stages"])

    def _git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=self.root, env=environment(), check=True, capture_output=True, text=True
        )
        return done.stdout


def environment(**changes: str) -> dict[str, str]:
    """Return an environment in which only the project's sources and the changes are set for the stages."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "DVC_", "GIT_"))}
    people = {f"GIT_{who}_{what}": "toy@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return kept | people | {"PYTHONPATH": str(SOURCES), "DVC_NO_ANALYTICS": "1"} | changes


def _files() -> dict[str, str]:
    files = {f"data/{name}/dvc.yaml": DATASET.format(name=name) for name in "ab"}
    files |= {f"data/{name}/dataset.yaml": "" for name in "ab"}
    files |= {"stages/prepare.py": PREPARE, "stages/train.py": TRAIN, "stages/evaluate.py": EVALUATE}
    params = "".join(f"{name}:\n{_block(section)}" for name, section in PARAMS.items())
    ignored = "mlflow.db*\nmlartifacts/\n.localizer/\n__pycache__/\n"
    return files | {"dvc.yaml": PIPELINE.format(python=sys.executable), "params.yaml": params, ".gitignore": ignored}


def _block(section: dict[str, Any]) -> str:
    return "".join(f"  {key}: {value}\n" for key, value in section.items())
