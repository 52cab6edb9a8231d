"""The stage as it is run: from the tables of prepare to reports, the clean table and the exit status."""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
CONFIG = """\
title: mine
format: csv
annotations: boxes.csv
images: images
columns: {image: photo, box: [a, b, c, d]}
"""
ANNOTATIONS = """\
file,line,element,image,label,group,box_1,box_2,box_3,box_4,width,height,given_split,xmin_px,ymin_px,xmax_px,ymax_px
boxes.csv,2,,007,,,10,10,60,50,,,,10.0,10.0,60.0,50.0
boxes.csv,3,,NA,,,60,10,{xmax},50,,,,60.0,10.0,{xmax}.0,50.0
"""
IMAGES = """\
image,path,annotated,exists,decodes,problem,width,height,mode,format,orientation,frames,bytes,sha256,phash
007,images/007,True,True,True,,100,80,RGB,JPEG,1,1,9,d1,
NA,images/NA,True,True,True,,100,80,RGB,JPEG,1,1,9,d2,
"""


class Recorder:
    """Stands for a run of MLflow, and keeps what it is given."""

    def __init__(self) -> None:
        self.metrics: dict[str, int] = {}
        self.artifacts: list[str] = []
        self.status = "RUNNING"

    def log_metrics(self, metrics: dict[str, int]) -> None:
        self.metrics |= metrics

    def log_artifact(self, path: Path) -> None:
        assert path.exists()
        self.artifacts.append(path.name)


@pytest.fixture(scope="module")
def stage() -> ModuleType:
    spec = importlib.util.spec_from_file_location("validate_stage", ROOT / "stages" / "validate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def recorder(stage: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Return the run's recorder, in a project folder that lacks only tables/annotations.csv."""
    recorder = Recorder()

    @contextmanager
    def stage_run(name: str) -> Iterator[Recorder]:
        recorder.status = "FAILED"
        yield recorder
        recorder.status = "FINISHED"

    monkeypatch.setattr(stage.tracking, "stage_run", stage_run)
    monkeypatch.chdir(tmp_path)
    Path("tables").mkdir()
    Path("tables/dataset.yaml").write_text(CONFIG, encoding="utf-8")
    Path("tables/images.csv").write_text(IMAGES, encoding="utf-8")
    Path("tables/columns.csv").write_text("file,line,column,used_as\nboxes.csv,1,note,\n", encoding="utf-8")
    Path("params.yaml").write_text("validate: {image_size: 64, shown: 1}\n", encoding="utf-8")
    return recorder


def annotate(xmax: int) -> None:
    Path("tables/annotations.csv").write_text(ANNOTATIONS.format(xmax=xmax), encoding="utf-8")


def test_sound_tables_give_the_clean_table_and_a_finished_run(
    stage: ModuleType, recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    annotate(xmax=90)
    stage.main()
    clean = pd.read_csv("tables/clean.csv", dtype=str, keep_default_na=False)
    assert clean.to_numpy().tolist() == [
        ["007", "images/007", "d1", "", "", "", "", "100", "80", "10.0", "10.0", "60.0", "50.0", "boxes.csv", "2"],
        ["NA", "images/NA", "d2", "", "", "", "", "100", "80", "60.0", "10.0", "90.0", "50.0", "boxes.csv", "3"],
    ]
    assert recorder.status == "FINISHED"
    assert recorder.artifacts == [
        "findings.csv",
        "quarantine.csv",
        "metrics.json",
        "summary.md",
        "thumbnails",
        "data_docs",
    ]
    assert capsys.readouterr().out.startswith("validate: passed: 0 critical findings, ")


def test_a_critical_finding_fails_the_run_after_its_reports_and_leaves_no_clean_table(
    stage: ModuleType, recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    annotate(xmax=20)
    Path("tables/clean.csv").write_text("of the run before\n", encoding="utf-8")
    with pytest.raises(SystemExit) as stopped:
        stage.main()
    assert stopped.value.code == 1
    assert recorder.status == "FAILED"
    assert recorder.metrics["critical"] == 1
    assert not Path("tables/clean.csv").exists()
    assert Path(".localizer/data_docs/index.html").is_file()
    assert len(Path("reports/validate/findings.csv").read_text(encoding="utf-8").splitlines()) == 1 + 3
    err = capsys.readouterr().err.splitlines()
    assert err[0] == "validate: failed: 1 critical finding, 2 warnings; 1 of 2 images clean, 1 of 2 rows set aside"
    assert "  boxes.csv: got 1 of 2 boxes wrong; as xywh, 1 of these would fit, and 2 of all" in err
    assert err[-1] == "with thumbnails: reports/validate/summary.md"


def test_an_unknown_parameter_is_refused_by_name(stage: ModuleType, recorder: Recorder) -> None:
    Path("params.yaml").write_text("validate: {image_size: 64, show: 1}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"validate\.show: unknown key"):
        stage.main()
