"""The bench of a large set: scenes that differ, made once, and the memory of each process of a stage."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from bench import kept, million, paper, scenes
from localizer import config
from localizer.dataset import open_dataset
from localizer.datasets.prepare import read_tables
from localizer.probing.duplicates import near_duplicates, perceptual_hash

pytestmark = pytest.mark.slow


@pytest.fixture
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "PART", 10)


def test_no_two_scenes_look_alike_and_the_box_holds_the_digit() -> None:
    digits = load_digits().images / 16
    drawn = [scenes.scene(index, digits) for index in range(100)]
    assert near_duplicates([perceptual_hash(image) for image, _ in drawn]) == []
    for (image, box_px), (plain, _) in zip(
        drawn, (scenes.scene(index, digits / 2) for index in range(100)), strict=True
    ):
        differs = np.argwhere((np.asarray(image) != np.asarray(plain)).any(axis=2))  # where there is ink
        (top, left), (bottom, right) = differs.min(axis=0), differs.max(axis=0) + 1
        assert np.abs(np.subtract(box_px, (left, top, right, bottom))).max() <= 1


@pytest.mark.usefixtures("_few")
def test_scenes_that_are_there_stay_and_a_larger_set_begins_with_the_smaller() -> None:
    folder = Path("data/million")
    assert scenes.make(folder, scenes=20) == 20
    before = {path: path.read_bytes() for path in folder.glob("raw/images/*/*")}
    removed = folder / "raw/images/0001"
    for path in removed.iterdir():
        path.unlink()
    removed.rmdir()
    assert scenes.make(folder, scenes=30) == 20
    after = {path: path.read_bytes() for path in folder.glob("raw/images/*/*")}
    assert len(after) == 30
    assert before.items() <= after.items()
    tables = read_tables(open_dataset(folder))
    assert len(tables.boxes) == len(tables.images) == 30
    assert (tables.images["problem"] == "").all()


@pytest.mark.usefixtures("_few")
@pytest.mark.parametrize("asked", [15, 10])
def test_other_numbers_of_scenes_than_can_be_are_refused(asked: int) -> None:
    scenes.make(Path("set"), scenes=20)
    with pytest.raises(ValueError, match=f"{asked} scenes asked for, 20 are there"):
        scenes.make(Path("set"), scenes=asked)


def test_the_memory_of_a_process_and_of_one_below_it_is_seen() -> None:
    hold = "import sys; held = bytearray(300_000_000); print('holding', flush=True); sys.stdin.read()"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}, 'stages/held.py'])"
    command = [sys.executable, "-c", outer, "-m", "outer"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == "holding\n"
        with million.Peaks(process.pid) as peaks:
            until = time.monotonic() + 60
            while "stages/held.py" not in peaks.highest and time.monotonic() < until:
                time.sleep(0.05)
        process.stdin.close()
    assert 286 < peaks.highest["stages/held.py"] < 400


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["python", "stages/prepare.py"], "stages/prepare.py"),
        (["/usr/bin/python", "-m", "dvc", "repro"], "dvc"),
        (["/usr/bin/git", "status"], "git"),
        ([], ""),
    ],
)
def test_a_process_is_called_by_its_script_else_its_module(command: list[str], name: str) -> None:
    assert million.what(command) == name


def test_a_project_of_its_own_takes_the_code_and_small_parameters() -> None:
    million.begin(Path("project"))
    million.begin(Path("project"))  # again, as when it goes on
    params = config.read_yaml(Path("project/params.yaml"))
    assert params["prepare"]["dataset"] == "million"
    assert params["train"]["depth"] == 18
    status = subprocess.run(["git", "status", "--short"], cwd="project", capture_output=True, text=True, check=True)
    assert status.stdout == ""


def test_more_images_take_as_long_each_and_memory_along_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = [
        {
            "scenes": scenes,
            "stage": "prepare",
            "images_per_s": 1000,
            "peak_mib": {"stages/prepare.py": own_mib, "dvc": dvc_mib},
            "bytes_an_image": {"data": 4096, "tables": 1024},
            "device": "2 x cpu",
        }
        for scenes, own_mib, dvc_mib in [(100_000, 512, 1024), (1_000_000, 1024 + 256, 2048)]
    ]
    rows = {"million_cpu": sizes, "sharing": [{"what": "push", "objects": 2000, "wall_s": 7.2}]}
    monkeypatch.setattr(kept, "rows", rows.get)
    paper.show()
    assert capsys.readouterr().out.splitlines()[3:] == [
        # 900,000 images more took 0.75 GiB more, so 9 million more take 7.5 GiB; and DVC 1 GiB, so 10 GiB
        "| `prepare` | 17 min, 1.2 GiB | 2.8 h, 8.8 GiB | 27.8 h, 83.8 GiB |",
        "| DVC in `prepare` | 2.0 GiB | 12.0 GiB | 112.0 GiB |",
        "| on disk, all of it | 5 GiB | 48 GiB | 477 GiB |",
        "| `dvc push` | 60 min | 10.0 h | 100.0 h |",
        "| cores of the stages but `train` | $0.03 | $0.28 | $2.78 |",
        "| 60 epochs of a ResNet-50, 224 px | 4.7 h of a GPU, $14 | 46.7 h of a GPU, $140 | 466.7 h of a GPU, $1,400 |",
        "| a bucket, 224 px | 20 GB: $5 once, $0.46 a month | 200 GB: $50 once, $4.60 a month | "
        "2,000 GB: $500 once, $46.00 a month |",
    ]


@pytest.mark.parametrize("sizes", [[], [1000]])
def test_no_line_goes_through_fewer_than_two_sizes(sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"scenes": size, "stage": "prepare"} for size in sizes]
    monkeypatch.setattr(kept, "rows", lambda name: rows)
    with pytest.raises(ValueError, match=f"has {len(sizes)} sizes of the two"):
        paper.show()
