"""Training that is killed or stopped, as a process: the next start goes on, and ends with the same bits."""

import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow.tracking import MlflowClient
from project import copy_project, outputs, run, set_params

from localizer.device import explain_oom
from localizer.tracking import process_id
from localizer.training.loop import EpochRecord

pytestmark = pytest.mark.slow

TINY: dict[str, dict[str, Any]] = {
    "train": {"epochs": 4, "min_steps": 0, "image_size": 32, "batch_size": 4},
}
TRAIN = [sys.executable, "stages/train.py"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, finished_project: Path, empty_store: Path) -> Path:
    """A tiny project whose data is split, ready to train."""
    folder = tmp_path_factory.mktemp("project")
    copy_project(finished_project, folder, TINY, store=empty_store)
    return folder


def start(project: Path, **changed: str) -> "subprocess.Popen[str]":
    env = os.environ | {"PYTHONPATH": "src", "MLFLOW_TRACKING_URI": ""} | changed
    return subprocess.Popen(
        TRAIN,
        cwd=project,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        bufsize=1,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's `&` lets all below ignore it
    )


def after_an_epoch(process: "subprocess.Popen[str]") -> Iterator[str]:
    """Yield what the process prints up to the end of an epoch."""
    assert process.stdout
    for line in process.stdout:
        yield line
        if line.startswith("epoch "):
            return


def finish(project: Path) -> tuple[str, dict[str, str]]:
    """Return what a start prints that comes to its end, and the digest of every file that it leaves, by its path."""
    process = start(project)
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out
    return out, outputs(project, "train")


def evaluate(project: Path) -> None:
    run(project, "env", "PYTHONPATH=src", sys.executable, "stages/evaluate.py")


def stop(process: "subprocess.Popen[str]", number: signal.Signals, *, after: int = 1) -> tuple[str, int]:
    """Send a signal once so many epochs are done; return what was printed until then, and the exit status."""
    out = "".join(line for _ in range(after) for line in after_an_epoch(process))
    process.send_signal(number)
    process.communicate(timeout=30)
    return out, process.returncode


@pytest.fixture(scope="module")
def whole(project: Path) -> dict[str, str]:
    """The digests of what a training leaves that nothing stopped."""
    out, digests = finish(project)
    assert "Resuming" not in out
    assert not list((project / ".localizer" / "checkpoints").rglob("*.safetensors"))
    return digests


def test_a_training_killed_and_then_stopped_goes_on_by_itself_to_the_same_files(
    project: Path, whole: dict[str, str]
) -> None:
    evaluate(project)
    judged = outputs(project, "evaluate")
    # The second epoch waits for the checkpoint of the first, and has its own written only when it is stopped.
    assert stop(start(project), signal.SIGKILL, after=2)[1] == -signal.SIGKILL
    out, status = stop(start(project), signal.SIGTERM, after=2)
    assert re.search(r"^Resuming after epoch 1 of 4: ", out, re.MULTILINE)
    assert status == 143
    out, digests = finish(project)
    assert re.search(r"^Resuming after epoch 3 of 4: ", out, re.MULTILINE)
    assert digests == whole
    assert (project / "reports/train/history.csv").read_text().count("\n") == 1 + 4
    evaluate(project)
    assert outputs(project, "evaluate") == judged


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_a_training_stopped_after_any_epoch_ends_with_the_same_files(
    project: Path, whole: dict[str, str], epochs: int
) -> None:
    assert stop(start(project), signal.SIGTERM, after=epochs)[1] == 143
    out, digests = finish(project)
    assert re.search(rf"^Resuming after epoch {epochs} of 4: ", out, re.MULTILINE)
    assert digests == whole


def test_a_training_killed_in_any_step_ends_with_the_same_bits(project: Path, whole: dict[str, str]) -> None:
    moments = random.Random(0)
    for _ in range(4):
        process = start(project)
        assert process.stdout
        for line in process.stdout:
            if line.startswith("train: "):
                break
        time.sleep(moments.uniform(0, 1))  # an epoch takes about half a second
        process.kill()
        process.communicate(timeout=30)
    assert finish(project)[1] == whole


def test_a_second_training_is_refused_and_one_with_other_parameters_starts_anew(
    project: Path, whole: dict[str, str]
) -> None:
    first = start(project)
    assert "".join(after_an_epoch(first))
    first.send_signal(signal.SIGSTOP)  # it must not come to its end before the second has begun
    second, _ = start(project).communicate(timeout=120)
    assert f"another train is running in {project}: process {first.pid}; wait for it to end, or stop it: kill" in second
    first.send_signal(signal.SIGINT)
    first.send_signal(signal.SIGCONT)
    first.communicate(timeout=30)
    assert first.returncode == 130
    set_params(project, {"train": {"seed": 1}})
    out, digests = finish(project)
    assert re.search("from the start: .* belongs to another training, which differs in train.seed\n", out)
    assert digests["models/localizer.safetensors"] != whole["models/localizer.safetensors"]
    runs = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    (experiment,) = [one for one in runs.search_experiments() if one.name == "localizer"]
    states = [one.info.status for one in runs.search_runs([experiment.experiment_id])]
    assert "KILLED" in states
    assert "RUNNING" not in states


def test_memory_that_runs_out_is_told_with_what_to_lower_and_costs_no_epoch(
    project: Path, whole: dict[str, str]
) -> None:
    set_params(project, {"train": {"image_size": 192, "batch_size": 24}})
    process = start(project, MALLOC_MMAP_THRESHOLD_="1000000")  # what a step took is given back at its end
    assert "".join(line for _ in range(2) for line in after_an_epoch(process))
    taken = int(Path(f"/proc/{process.pid}/statm").read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(process.pid, resource.RLIMIT_AS, (taken, taken))  # the activations of a step don't fit in any more
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 1, told
    assert told.endswith("train: out of memory: train.batch_size 24 at train.image_size 192; lower one of them\n")
    out, _ = stop(start(project), signal.SIGKILL)
    set_params(project, {"train": TINY["train"]})
    assert re.search("^Resuming after epoch [12] of 4: ", out, re.MULTILINE)


def test_another_fault_of_torch_is_not_taken_for_memory() -> None:
    def epochs() -> Iterator[EpochRecord]:
        torch.ones(2) @ torch.ones(3)
        yield EpochRecord(1, 0.1, 1.0, 0.5, 1.0, 1.0, 0.0, 1.0)

    with pytest.raises(RuntimeError, match="size"), explain_oom(""):
        list(epochs())


def repro(project: Path) -> "subprocess.Popen[str]":
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    around = os.environ | {"PATH": path, "MLFLOW_TRACKING_URI": "", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "dvc", "repro", "train"]
    return subprocess.Popen(command, cwd=project, env=around, text=True, bufsize=1, **streams)


def test_a_second_repro_is_told_who_is_at_work_and_a_stage_ends_with_its_killed_dvc(project: Path) -> None:
    set_params(project, {"train": {"seed": 2}})
    first = repro(project)
    assert "".join(after_an_epoch(first))
    (owner,) = (project / ".localizer" / "locks").glob("train-*.pid")
    pid = int(owner.read_text())
    trainer = process_id.process_id(pid)
    os.kill(pid, signal.SIGSTOP)  # it must not come to its end before the second has begun
    second = repro(project)
    told, _ = second.communicate(timeout=120)
    assert second.returncode != 0
    assert f"(PID {first.pid})" in told
    first.kill()
    os.kill(pid, signal.SIGCONT)
    first.communicate(timeout=60)
    assert first.returncode == -signal.SIGKILL
    for _ in range(600):
        if process_id.has_ended(trainer):
            break
        time.sleep(0.05)
    assert process_id.has_ended(trainer)
    third = repro(project)
    told, _ = third.communicate(timeout=300)
    assert third.returncode == 0, told
    assert re.search("^Resuming after epoch [12] of 4: ", told, re.MULTILINE)
