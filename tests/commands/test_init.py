"""The command `localizer init`: its verdict, its questions, and that its folder is whole or not there."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from bad_inputs import BOX, add_pictures, table

from localizer.cli import main
from localizer.commands import init
from localizer.dataset import read_config

ROOT = Path(__file__).parents[2]
PARAMS = """\
validate: {image_size: 64, shown: 3}
split: {method: hash, seed: 0, train: 0.7, validation: 0.1, calibration: 0.1, test: 0.1, folds: 0, fold: 0}
"""
COMMAND = ["init", "mine", "--annotations", "boxes.csv", "--images", "images"]
SOUND = [f"{number}.png,{BOX}" for number in range(60)]
SEVERAL = [*SOUND, "0.png,cat,1,1,20,20", "1.png,cat,1,1,20,20"]

# pygtrie's own, raised from within dvc
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")


@pytest.fixture(autouse=True)
def project() -> None:
    """Make the working folder a project of DVC."""
    from dvc.repo import Repo

    Repo.init(no_scm=True).close()
    Path("params.yaml").write_text(PARAMS)


def files(rows: list[str]) -> None:
    """Write boxes.csv, and an image for each name in it."""
    add_pictures(*dict.fromkeys(row.split(",")[0] for row in rows))
    Path("boxes.csv").write_text(table(rows), encoding="utf-8")


def test_a_sound_set_is_ready_and_the_next_commands_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    files(SOUND)
    assert main(COMMAND) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "data/mine: ready: 60 of 60 images can be used, 0 warnings" in lines
    commands = ["git add data/mine && git commit -m 'Data set mine'", "dvc exp run -S prepare.dataset=mine"]
    assert lines[-5:-2] == ["Next:", *(f"  {command}" for command in commands)]
    assert lines[-1] == "  localizer cross-validate --name mine -S prepare.dataset=mine"  # 60 images are few


def test_without_a_terminal_the_choices_are_listed_with_what_each_keeps(capsys: pytest.CaptureFixture[str]) -> None:
    files(SEVERAL)
    assert main(COMMAND) == 1
    out = capsys.readouterr().out
    assert "data/mine: the pipeline would stop at validate: " in out
    assert (
        "2 of 60 images have several boxes; set in data/mine/dataset.yaml\n"
        "  `multiple: largest` keeps all 60, recommended\n"
        "  `multiple: drop` keeps 58\n"
    ) in out
    assert read_config("mine").multiple == "error"


def test_yes_takes_the_recommended_choices_and_the_set_is_ready(capsys: pytest.CaptureFixture[str]) -> None:
    files([*SEVERAL, "60.png,cat,10,10,nan,50"])
    Path("images/59.png").write_bytes(Path("images/59.png").read_bytes()[:100])  # cut
    assert main([*COMMAND, "--yes"]) == 0
    config = read_config("mine")
    assert (config.multiple, config.on_bad_row, config.max_bad_fraction) == ("largest", "quarantine", 0.04)  # 2 of 63
    assert "data/mine: ready: 59 of 61 images can be used" in capsys.readouterr().out
    assert main(["validate", "data/mine"]) == 0


@pytest.mark.parametrize(("answer", "multiple", "status"), [(1, "largest", 0), (2, "drop", 0), (3, "error", 1)])
def test_on_a_terminal_it_asks(answer: int, multiple: str, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    files(SEVERAL)
    asked: list[list[str]] = []

    def ask(_: str, *, choices: list[str], default: int) -> int:
        asked.append(choices)
        assert default == 1
        return answer

    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("rich.prompt.IntPrompt.ask", ask)
    assert main(COMMAND) == status
    assert asked == [["1", "2", "3"]]
    assert read_config("mine").multiple == multiple


def test_ctrl_c_at_a_question_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(question: Any) -> None:
        raise KeyboardInterrupt

    files(SEVERAL)
    monkeypatch.setattr(init, "_asked", interrupted)
    assert main(COMMAND) == 130
    assert not Path("data").exists()


def test_too_few_images_to_split_are_part_of_the_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    files(SOUND[:3])
    assert main(COMMAND) == 1
    out = capsys.readouterr().out
    assert "data/mine: the pipeline would stop at split: 3 of 3 images can be used" in out
    assert "3 images in 3 clusters are too few" in out


def test_a_failure_while_images_are_added_to_dvc_leaves_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise OSError("no space left on device")

    files(SOUND)
    monkeypatch.setattr("localizer.datasets.create.track", fails)
    assert main(COMMAND) == 1
    assert [*Path("data").iterdir()] == []


@pytest.mark.slow
@pytest.mark.parametrize("moment_s", [0.02, 0.2, 1.0])
def test_a_kill_at_any_moment_leaves_no_half_folder(moment_s: float) -> None:
    files(SOUND)
    command = [sys.executable, "-m", "localizer.cli", *COMMAND]
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT / "src")}) as process:
        while process.poll() is None and not Path("data/.mine.part").exists():
            time.sleep(0.005)
        time.sleep(moment_s)
        process.send_signal(signal.SIGKILL)
    if Path("data/mine").exists():  # all was done
        assert Path("data/mine/raw/images.dvc").is_file()
    else:
        assert main(COMMAND) == 0
    assert sorted(path.name for path in Path("data").iterdir()) == ["mine"]
    assert sorted(path.name for path in Path("data/mine/raw").iterdir())[-3:] == ["boxes.csv", "images", "images.dvc"]
