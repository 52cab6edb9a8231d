"""The stage as it is run: from the clean table to the splits, the reports and the terminal."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from localizer import tracking
from localizer.tables import read_table
from stages import split

CONFIG = """\
title: mine
format: csv
annotations: boxes.csv
images: images
columns: {image: photo, box: [a, b, c, d], split: set}
show_images: false
"""
PARAMS = """\
split: {method: METHOD, seed: 0, train: 0.7, validation: 0.1, calibration: 0.1, test: 0.1, folds: 0, fold: 0}
"""
CLEAN = "image,path,sha256,phash,label,group,given_split,width,height,xmin_px,ymin_px,xmax_px,ymax_px,file,line\n"
SPLIT = (
    "image,path,sha256,phash,label,group,width,height,xmin_px,ymin_px,xmax_px,ymax_px,file,line,cluster,split,box_share"
)
# By the digests, as in test_assignment: train, test, train, calibration, validation.
GIVEN = {"a": "train", "b": "Train", "c": "TEST", "f": "valid", "h": "calibration"}


class Recorder:
    """Stands for a run of MLflow."""

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}

    def log_metrics(self, metrics: dict[str, float]) -> None:
        self.metrics |= metrics

    def log_artifact(self, path: Path) -> None:
        assert path.exists()


@pytest.fixture
def recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Return the run's recorder, in a project folder that lacks only tables/clean.csv and params.yaml."""
    recorder = Recorder()

    @contextmanager
    def stage_run(name: str) -> Iterator[Recorder]:
        yield recorder

    monkeypatch.setattr(tracking, "stage_run", stage_run)
    monkeypatch.chdir(tmp_path)
    Path("tables").mkdir()
    Path("tables/dataset.yaml").write_text(CONFIG, encoding="utf-8")
    return recorder


def run(method: str, *, group: str = "") -> list[str]:
    """Run the stage on images a, b, c, f and h, a to c in a group, and return the lines of split.csv."""
    groups = {"a": group, "b": group, "c": group}
    rows = [
        f"{name},images/{name},{name},,,{groups.get(name, '')},{given},10,10,0.0,0.0,5.0,5.0,boxes.csv,{line}\n"
        for line, (name, given) in enumerate(GIVEN.items(), start=2)
    ]
    Path("tables/clean.csv").write_text(CLEAN + "".join(rows), encoding="utf-8")
    Path("params.yaml").write_text(PARAMS.replace("METHOD", method), encoding="utf-8")
    split.main()
    return Path("tables/split.csv").read_text(encoding="utf-8").splitlines()


@pytest.mark.usefixtures("recorder")
def test_split_csv_has_the_bytes_of_before_there_were_given_splits() -> None:
    assert run("hash") == [
        SPLIT,
        "a,images/a,a,,,,10,10,0.0,0.0,5.0,5.0,boxes.csv,2,a,train,0.25",
        "b,images/b,b,,,,10,10,0.0,0.0,5.0,5.0,boxes.csv,3,b,test,0.25",
        "c,images/c,c,,,,10,10,0.0,0.0,5.0,5.0,boxes.csv,4,c,train,0.25",
        "f,images/f,f,,,,10,10,0.0,0.0,5.0,5.0,boxes.csv,5,f,calibration,0.25",
        "h,images/h,h,,,,10,10,0.0,0.0,5.0,5.0,boxes.csv,6,h,validation,0.25",
    ]


def test_given_splits_are_followed_and_a_leak_is_reported_everywhere(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = run("given", group="farm")
    assert lines[0] == SPLIT
    assert [line.split(",")[-2] for line in lines[1:]] == ["train", "train", "test", "validation", "calibration"]
    printed = capsys.readouterr().out
    assert (
        "split: train 2, validation 1, calibration 1, test 1; clusters of 2 or more images, some across splits: 1"
        in printed
    )
    warning = (
        "leak: expected each cluster in one split, got 1 in several (group:farm in train, test); 1 of 1 test images"
    )
    assert f"split: warning: {warning}" in printed
    assert f"- {warning}" in Path("reports/split/report.md").read_text(encoding="utf-8")
    assert json.loads(Path("reports/split/metrics.json").read_text(encoding="utf-8"))["clusters_across_sides"] == 1
    assert recorder.metrics["clusters_across_sides"] == 1
    clusters = read_table(Path("reports/split/clusters.csv"))
    assert clusters[["cluster", "split", "reason"]].to_numpy().tolist() == [
        ["group:farm", "train", "same group farm"],
        ["group:farm", "train", "same group farm"],
        ["group:farm", "test", "same group farm"],
    ]
