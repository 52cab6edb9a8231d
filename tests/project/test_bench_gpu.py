"""`make gpu` where there is no GPU: the plan, a rehearsal, and that one part's failure or lack of time is its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.gpu import bccd, parts, plan, run
from bench.gpu.plan import Part

ROOT = Path(__file__).resolve().parents[2]
HIDDEN = [
    *("dvc", "mlflow", "great_expectations", "globox", "defusedxml", "charset_normalizer", "matplotlib", "typer"),
    *("onnx", "onnxruntime", "fastapi", "uvicorn", "pillow_heif", "boto3", "hypothesis", "xdist", "imagehash"),
]


def bench_gpu(*arguments: str, out: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    around = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}", "OUT": str(out)} | env
    return subprocess.run(
        [sys.executable, "-m", "bench.gpu", *arguments], cwd=ROOT, env=around, capture_output=True, text=True
    )


def test_the_plan_fits_into_nine_minutes_and_the_tests_come_first() -> None:
    assert sum(part.seconds for part in plan.PARTS) <= plan.BUDGET_S == 9 * 60
    assert plan.PARTS[0].name == "tests"
    assert [part.name for part in plan.PARTS] == sorted(parts.PARTS, key=[one.name for one in plan.PARTS].index)


def test_the_plan_is_printed_without_any_package(tmp_path: Path) -> None:
    command = [sys.executable, "-S", "-c", "import runpy, sys; sys.argv = ['gpu', '--plan']; "]
    command[-1] += "runpy.run_module('bench.gpu', run_name='__main__')"
    done = subprocess.run(
        command, cwd=ROOT, env={"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert all(part.name in done.stdout for part in plan.PARTS)
    assert "missing; wheels to carry: torch torchvision" in done.stdout


def test_what_a_part_needs_is_told_as_wheels() -> None:
    assert plan.missing(["json", "no_such_module", "no_such.module"]) == ["no_such_module", "no_such.module"]
    told = plan.wheels(["pydantic", "ruamel.yaml"])
    assert told.startswith("pydantic, ruamel.yaml missing; wheels to carry: pydantic pydantic-core ")


@pytest.mark.slow
def test_no_part_needs_what_a_gpus_machine_lacks() -> None:
    hide = f"import sys; sys.modules.update(dict.fromkeys({HIDDEN}))"
    load = "import bench.gpu.parts, bench.gpu.run, bench.steps, test_gpu"
    path = ":".join(str(ROOT / folder) for folder in ("src", "", "tests/training"))
    done = subprocess.run(
        [sys.executable, "-c", f"{hide}; {load}"], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert importing("dvc").returncode != 0  # a control


def importing(name: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.modules.update(dict.fromkeys({HIDDEN})); import {name}"],
        capture_output=True,
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_without_a_gpu_it_is_refused_and_says_what_can_be_done(tmp_path: Path) -> None:
    done = bench_gpu(out=tmp_path)
    assert done.returncode == 1
    assert "no usable GPU here" in done.stderr
    assert "--rehearse" in done.stderr


@pytest.mark.slow
def test_the_rehearsal_leaves_rows_a_page_and_a_log(tmp_path: Path) -> None:
    asked = [
        "tests",
        "tests_of_graphs",
        "default",
        "bccd",
        "end_to_end",
        "compiled_small",
        "choices",
    ]  # the others differ in numbers
    done = bench_gpu("--rehearse", "--seconds", "3000", "--only", *asked, out=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    outcomes = json.loads((tmp_path / "parts.json").read_text())
    assert [(one["part"], one["state"]) for one in outcomes] == [
        (part.name, "done") for part in plan.PARTS if part.name in asked
    ]
    names = {row["name"] for row in json.loads((tmp_path / "rows.json").read_text())}
    assert names >= {
        *("gpu_answers_bf16_vs_fp32", "gpu_bccd_iou", "gpu_bccd_iou_of_mean_box", "gpu_bccd_rate"),
        *(
            "gpu_step_vs_timm_default",
            "gpu_step_vs_torchvision_default",
            "epoch_vs_compute_default",
            "gpu_end_to_end_vs_seed",
        ),
        *("gpu_step_vs_timm_compiled_64", "gpu_step_bf16_vs_fp32", "gpu_step_not_deterministic_vs_plain"),
        "gpu_epoch_auto_vs_off_default",
    }
    page = (tmp_path / "page.md").read_text()
    assert all(f"| {name} | done |" in page for name in asked)
    assert "| `gpu_bccd_iou` | **0." in page
    assert "default: Row(" in (tmp_path / "log.txt").read_text()


def ran(told: dict[str, str], monkeypatch: pytest.MonkeyPatch, **changed: Any) -> tuple[int, list[dict[str, Any]], str]:
    """Run made-up parts, each a line of Python; return the status, the outcomes and the page."""
    real = subprocess.Popen

    def start(command: list[str], **how: Any) -> "subprocess.Popen[str]":
        return real([sys.executable, "-c", told[command[command.index("--part") + 1]]], **how)

    monkeypatch.setattr("bench.gpu.run.subprocess.Popen", start)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("bench.gpu.run.kept.commit", lambda: "abc1234")
    planned = [Part(name, changed.get(name, 1), "") for name in told]
    status = run.run(planned, Path("out"), seconds=changed.get("seconds", 60), rehearse=False)
    return status, json.loads(Path("out/parts.json").read_text()), Path("out/page.md").read_text()


def test_a_part_that_fails_is_told_with_its_traceback_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    status, outcomes, page = ran({"a": "1 / 0", "b": "print('fine')"}, monkeypatch, a=30, b=30)
    assert status == 1
    assert [(one["part"], one["state"]) for one in outcomes] == [("a", "failed"), ("b", "done")]
    assert "## a failed" in page
    assert "ZeroDivisionError" in page
    log = Path("out/log.txt").read_text()
    assert "a: ZeroDivisionError" in log
    assert "b: fine" in log


def test_a_part_whose_estimate_does_not_fit_is_skipped_and_a_shorter_one_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    status, outcomes, page = ran({"long": "", "short": ""}, monkeypatch, long=90, short=30)
    assert status == 0
    assert [(one["part"], one["state"]) for one in outcomes] == [("long", "skipped"), ("short", "done")]
    assert "| long | skipped | 0 | 90 | 60 s are left |" in page


def test_a_part_that_hangs_is_ended_after_twice_its_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    status, outcomes, _ = ran({"hangs": "import time; time.sleep(60)"}, monkeypatch)
    assert (status, outcomes[0]["state"]) == (1, "failed")
    assert outcomes[0]["told"].endswith("it took too long")
    assert 2 <= outcomes[0]["seconds"] < 30


def test_a_part_without_its_package_or_its_carried_file_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "ROOT", Path())
    monkeypatch.setitem(plan.WHEELS, "no_such_module", "no-such-wheel")
    lacking = Part("a", 1, "", needs=("no_such_module",))
    assert "no-such-wheel" in run._obstacle(lacking, left=60, rehearse=False)
    assert "--pack" in run._obstacle(Part("b", 1, "", carried=True), left=60, rehearse=False)
    assert run._obstacle(Part("c", 1, ""), left=60, rehearse=False) == ""


def test_the_file_that_is_carried_holds_each_side_of_the_split(tmp_path: Path) -> None:
    path = bccd.made_up(tmp_path / "a.npz", side=32)
    sides = [bccd.samples(path, side, torch.device("cpu")) for side in ("train", "validation", "test")]
    assert [len(one) for one in sides] == [4, 2, 2]
    assert all(one.pixels.shape[1:] == (3, 32, 32) and one.pixels.dtype == torch.uint8 for one in sides)
    assert all((one.boxes[:, :2] < one.boxes[:, 2:]).all() for one in sides)
