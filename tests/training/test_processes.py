"""The stage train in several processes, on one machine and on what stands for two: killed, stopped, cut off."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from mlflow.tracking import MlflowClient
from project import copy_project, outputs, run, set_params
from servers import free_port

pytestmark = pytest.mark.slow

TINY: dict[str, dict[str, Any]] = {
    "train": {
        "epochs": 4,
        "min_steps": 0,
        "image_size": 32,
        "depth": 18,
        "batch_size": 8,
        "processes": 2,
        "ema_decay": 0.5,
    },
}
TRAIN = [sys.executable, "stages/train.py"]
MODEL = Path("models/localizer.safetensors")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, finished_project: Path, empty_store: Path) -> Path:
    """A tiny project whose data is split, ready to train in two processes."""
    folder = tmp_path_factory.mktemp("project")
    copy_project(finished_project, folder, TINY, store=empty_store)
    return folder


def start(project: Path, **changed: str) -> "subprocess.Popen[str]":
    env = os.environ | {"PYTHONPATH": "src", "MLFLOW_TRACKING_URI": "", "OMP_NUM_THREADS": "1"} | changed
    return subprocess.Popen(
        TRAIN, cwd=project, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
    )


def up_to_epoch(process: "subprocess.Popen[str]", number: int) -> str:
    """Return what is printed up to the end of an epoch."""
    assert process.stdout
    out = ""
    for line in process.stdout:
        out += line
        if line.startswith(f"epoch {number}/"):
            return out
    raise AssertionError(out)


def ranks_of(process: "subprocess.Popen[str]") -> dict[int, psutil.Process]:
    """Return the ranks' processes."""
    children = psutil.Process(process.pid).children(recursive=True)
    found = [(child.environ().get("RANK"), child) for child in children]
    return {int(rank): child for rank, child in found if rank is not None}


def weights(project: Path) -> str:
    return hashlib.sha256((project / MODEL).read_bytes()).hexdigest()


def finish(process: "subprocess.Popen[str]") -> str:
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out
    return out


@pytest.fixture(scope="module")
def whole(project: Path) -> str:
    """The digest of the weights of a training that nothing stopped."""
    out = finish(start(project))
    assert re.search(r"^train: 3\d images, .*, 2 processes$", out, re.MULTILINE)
    assert len(re.findall("^epoch ", out, re.MULTILINE)) == 4  # one rank alone tells
    return weights(project)


def test_train_threads_is_the_number_of_threads_of_every_rank(project: Path, whole: str) -> None:
    set_params(project, {"train": {"threads": 1}})
    out = finish(start(project, OMP_NUM_THREADS="2"))
    set_params(project, {"train": {"threads": "auto"}})
    assert re.search(r"^train: .* on cpu, 1 thread", out, re.MULTILINE)
    assert weights(project) == whole  # two threads in either rank would give others
    assert json.loads((project / MODEL).with_suffix(".json").read_text())["params"]["threads"] == 1


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_ends_the_others_and_the_next_start_goes_on_to_the_same_bits(
    project: Path, whole: str, rank: int
) -> None:
    process = start(project)
    out = up_to_epoch(process, 2)
    ranks = ranks_of(process)
    assert sorted(ranks) == [0, 1]
    ranks[rank].kill()
    rest, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGKILL, out + rest
    assert f"train: rank {rank} (process {ranks[rank].pid}) was ended by SIGKILL" in rest
    assert not any(one.is_running() for one in ranks.values())
    out = finish(start(project))
    assert re.search(r"^Resuming after epoch [123] of 4: ", out, re.MULTILINE)
    assert weights(project) == whole


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_training_ends_all_ranks_and_goes_on_to_the_same_bits(
    project: Path, whole: str, number: signal.Signals, status: int
) -> None:
    process = start(project)
    up_to_epoch(process, 2)
    ranks = ranks_of(process)
    process.send_signal(number)
    rest, _ = process.communicate(timeout=30)
    assert process.returncode == status, rest
    assert not any(one.is_running() for one in ranks.values())
    out = finish(start(project))
    assert re.search(r"^Resuming after epoch [23] of 4: ", out, re.MULTILINE)
    assert weights(project) == whole


def test_three_processes_that_are_stopped_go_on_to_the_same_files(project: Path) -> None:
    set_params(project, {"train": {"processes": 3, "epochs": 2}})
    finish(start(project))
    uninterrupted = outputs(project, "train")
    process = start(project)
    up_to_epoch(process, 1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143
    assert re.search(r"^Resuming after epoch 1 of 2: ", finish(start(project)), re.MULTILINE)
    assert outputs(project, "train") == uninterrupted
    set_params(project, {"train": {"seed": 1}})
    finish(start(project))
    other = outputs(project, "train")
    set_params(project, {"train": {"processes": 2, "epochs": 4, "seed": 0}})
    assert all(other[path] != digest for path, digest in uninterrupted.items())  # the control


def test_ranks_do_not_outlive_the_process_that_started_them(project: Path) -> None:
    process = start(project)
    up_to_epoch(process, 1)
    ranks = ranks_of(process)
    process.kill()
    gone, alive = psutil.wait_procs(ranks.values(), timeout=30)
    assert len(gone) == 2
    assert not alive
    process.communicate()


def test_an_elastic_restart_goes_on_after_the_last_epoch_by_itself(project: Path, whole: str) -> None:
    shutil.rmtree(project / ".localizer" / "checkpoints")
    process = start(project, PET_MAX_RESTARTS="1")
    up_to_epoch(process, 2)
    ranks_of(process)[1].kill()
    assert re.search(r"^Resuming after epoch [123] of 4: ", finish(process), re.MULTILINE)
    assert weights(project) == whole


def test_as_dvc_starts_it_there_is_one_run_and_the_pipeline_goes_on(project: Path, whole: str) -> None:
    run(project, "dvc", "repro")
    assert weights(project) == whole
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    (experiment,) = [one for one in client.search_experiments() if one.name == "localizer"]
    newest = client.search_runs([experiment.experiment_id], "attributes.run_name = 'train'")[0]
    assert newest.info.status == "FINISHED"
    assert newest.data.params["train.processes"] == "2"
    pipeline = newest.data.tags["mlflow.parentRunId"]
    inside = client.search_runs([experiment.experiment_id], f"tags.`mlflow.parentRunId` = '{pipeline}'")
    assert sorted(one.info.run_name for one in inside) == ["evaluate", "train"]
    assert "didn't change, skipping" in run(project, "dvc", "repro", "train")


@pytest.fixture
def machines(project: Path, tmp_path: Path) -> Iterator[tuple[Path, Path, dict[str, str]]]:
    """Two checkouts with the same data, as on two machines, and what torchrun is told on both."""
    other = tmp_path / "other"
    shutil.copytree(project, other, ignore=shutil.ignore_patterns("models", "mlflow.db", ".localizer"))
    told = {"PET_NNODES": "2", "PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": str(free_port())}
    set_params(project, {"train": {"processes": 1}})
    set_params(other, {"train": {"processes": 1}})
    yield project, other, told
    set_params(project, {"train": {"processes": 2}})


def test_two_machines_train_together_and_the_first_alone_writes(
    machines: tuple[Path, Path, dict[str, str]], whole: str
) -> None:
    first, second, told = machines
    other = start(second, **told, PET_NODE_RANK="1")
    out = finish(start(first, **told, PET_NODE_RANK="0"))
    assert re.search(r"^train: 3\d images, .*, 2 processes$", out, re.MULTILINE)
    finish(other)
    assert not (second / MODEL).exists()
    assert not (second / "mlflow.db").exists()
    assert weights(first) == whole


def test_all_ranks_tell_which_machine_has_other_params_or_code(machines: tuple[Path, Path, dict[str, str]]) -> None:
    first, second, told = machines
    set_params(second, {"train": {"seed": 7}})
    with (second / "src/localizer/boxes.py").open("a") as code:
        code.write("# changed\n")
    both = start(second, **told, PET_NODE_RANK="1"), start(first, **told, PET_NODE_RANK="0")
    for one in both:
        out, _ = one.communicate(timeout=300)
        assert re.search(r"^train: rank 1 on (.*): params, code: not as on rank 0 on \1", out, re.MULTILINE), out
        assert one.returncode == 1


def test_dvc_on_another_machine_than_the_first_is_refused(machines: tuple[Path, Path, dict[str, str]]) -> None:
    first, second, told = machines
    both = start(second, **told, PET_NODE_RANK="1", DVC_STAGE="train"), start(first, **told, PET_NODE_RANK="0")
    for one in both:
        out, _ = one.communicate(timeout=300)
        assert "expected `dvc repro` on the machine of rank 0, which writes the outputs, got rank 1" in out
        assert one.returncode == 1


def test_a_machine_that_waits_for_others_in_vain_says_so_within_30_s(project: Path) -> None:
    waits = []
    for node, backend in (("1", "static"), ("0", "static"), ("0", "c10d")):
        where = f"127.0.0.1:{free_port()}"
        told = {"PET_NNODES": "2", "PET_NODE_RANK": node, "PET_MASTER_ADDR": "127.0.0.1", "PET_RDZV_BACKEND": backend}
        address = {"PET_MASTER_PORT": where.partition(":")[2]}
        if backend == "c10d":
            address = {"PET_RDZV_ID": "job", "PET_RDZV_ENDPOINT": where}
        waits.append((start(project, **told, **address), where, backend))
    since = {}
    for process, where, _ in waits:
        assert process.stdout
        line = next((line for line in process.stdout if line.startswith("train: ")), "")
        assert line == f"train: waiting at {where} for 2 machines to join\n"
        since[where] = time.monotonic()  # not from the start, which takes long where other tests run beside
    for process, where, backend in waits:
        out, _ = process.communicate(timeout=300)
        assert time.monotonic() - since[where] < 30
        assert process.returncode == 1
        words = f"train: the 2 machines did not all join at {where} ({backend}, timeout=20,"
        assert words in out, out


def test_a_fault_that_all_ranks_find_ends_them_with_its_words(project: Path) -> None:
    set_params(project, {"train": {"batch_size": 3}})
    process = start(project)
    out, _ = process.communicate(timeout=300)
    set_params(project, {"train": {"batch_size": 8}})
    assert process.returncode == 1
    assert re.search(
        r"^train: expected 2 images or more per process, got a batch of 3 for 2 processes; raise", out, re.MULTILINE
    )
    assert "ValueError" not in out  # nor a traceback of it; a rank that is stopped meanwhile may tell of its own end
