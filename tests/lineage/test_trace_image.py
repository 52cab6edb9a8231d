"""`localizer trace` of an image: its tables, the runs that made them, and the models trained on its split."""

import hashlib
import shutil
from dataclasses import dataclass, fields
from pathlib import Path

import pytest
from mlflow import MlflowClient
from test_trace import call, read

from localizer.lineage.image_record import ImageRecord

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")  # MLflow's store

TABLES = {
    "tables/images.csv": "image,path,sha256,problem\n"
    "a.jpg,data/cats/raw/a.jpg,00aa,\nb.jpg,data/cats/raw/b.jpg,00bb,\n",
    "tables/split.csv": "image,split,cluster\na.jpg,test,00aa\n",
    "tables/dataset.yaml": "title: cats\n",
    "tables/annotations.csv": "file,line,element,image,label,xmin_px,ymin_px,xmax_px,ymax_px\n"
    "all.csv,2,,a.jpg,cat,1,2,3,4\nall.csv,3,,b.jpg,cat,1,2,,4\n",
    "reports/validate/quarantine.csv": "file,line,element,image,reasons\nall.csv,3,,b.jpg,value_missing\n",
    "reports/validate/findings.csv": "file,line,column,rule,severity,got,expected,fix\n"
    "all.csv,3,xmax,value_missing,critical,nothing,a number,write it\n",
    "reports/evaluate/predictions.csv": "image,pred_xmin_px,pred_ymin_px,pred_xmax_px,pred_ymax_px,iou\n"
    "a.jpg,1,2,3,4.5,0.8\n",
}


def md5(path: str) -> str:
    return hashlib.md5(TABLES[path].encode()).hexdigest()


@dataclass(frozen=True)
class StoreWithRuns:
    """A store that is copied for each test, and the ids of its runs by stage."""

    store: Path
    runs: dict[str, str]


@pytest.fixture(scope="module")
def store_with_runs(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> StoreWithRuns:
    """Create a store with one run per stage."""
    store = Path(shutil.copy(empty_store, tmp_path_factory.mktemp("store") / "mlflow.db"))
    client = MlflowClient(f"sqlite:///{store}")
    experiment = client.create_experiment("localizer")
    clean, model = {"tables/clean.csv": "00"}, {"models/localizer.safetensors": "11"}
    config, split = digests("tables/dataset.yaml"), digests("tables/split.csv")
    prepared = digests("tables/images.csv", "tables/annotations.csv") | config
    validated = digests("reports/validate/findings.csv", "reports/validate/quarantine.csv") | clean
    stages: dict[str, tuple[dict[str, str], dict[str, str]]] = {
        "prepare": ({}, prepared),
        "validate": (prepared, validated),
        "split": (clean | config, split),
        "train": (split, model),
        "evaluate": (split | model, digests("reports/evaluate/predictions.csv")),
    }
    return StoreWithRuns(store, {name: _run(client, experiment, name, *files) for name, files in stages.items()})


@pytest.fixture
def runs(store_with_runs: StoreWithRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Write the tables and the store; return the ids of its runs by stage."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    for name, text in TABLES.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)
    shutil.copy(store_with_runs.store, tmp_path / "mlflow.db")
    return store_with_runs.runs


def digests(*paths: str) -> dict[str, str]:
    return {path: md5(path) for path in paths}


def _run(client: MlflowClient, experiment: str, stage: str, used: dict[str, str], written: dict[str, str]) -> str:
    tags = {"kind": "stage", "stage": stage} | {f"in.{path}": value for path, value in used.items()}
    tags |= {f"out.{path}": value for path, value in written.items()}
    run_id = str(client.create_run(experiment, tags=tags, run_name=stage).info.run_id)
    if stage == "evaluate":
        client.log_metric(run_id, "mean_iou", 0.5)
        client.log_metric(run_id, "mean_box_iou", 0.125)
    client.set_terminated(run_id)
    return run_id


def test_each_table_has_the_run_that_made_it(runs: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    tables = {
        table["path"]: (table["digest"], table["stage"], table["run"]) for table in read(capsys, "a.jpg")["tables"]
    }
    assert tables["tables/split.csv"] == (md5("tables/split.csv"), "split", runs["split"])
    assert tables["tables/dataset.yaml"] == (md5("tables/dataset.yaml"), "prepare", runs["prepare"])
    assert tables["reports/evaluate/predictions.csv"][1:] == ("evaluate", runs["evaluate"])
    assert set(tables) == set(TABLES)


def test_the_models_trained_on_its_split_have_their_test_results(
    runs: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    (train,) = read(capsys, "a.jpg")["step"]["used_by"]
    assert train["run"]["id"] == runs["train"]
    (evaluate,) = train["used_by"]
    assert evaluate["run"]["metrics"] == {"mean_box_iou": 0.125, "mean_iou": 0.5}


def test_the_trace_of_a_quarantined_image_starts_from_the_quarantine_table(
    runs: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    result = read(capsys, "b.jpg")
    assert (result["path"], result["step"]["run"]["id"]) == ("reports/validate/quarantine.csv", runs["validate"])
    assert result["image"]["annotations"][0]["set_aside"] == "value_missing"


def test_a_table_that_no_run_made_is_unknown(runs: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    text = TABLES["tables/split.csv"].replace("test", "train")
    Path("tables/split.csv").write_text(text)
    result = read(capsys, "a.jpg")
    split = next(table for table in result["tables"] if table["path"] == "tables/split.csv")
    assert split == {
        "path": "tables/split.csv",
        "digest": hashlib.md5(text.encode()).hexdigest(),
        "stage": None,
        "run": None,
    }
    assert (result["step"]["state"], result["step"]["used_by"]) == ("unknown", [])


def test_the_text_has_boxes_findings_split_prediction_and_result(
    runs: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("a.jpg") == 0
    text = capsys.readouterr().out
    assert "  annotated in all.csv:2: cat, box 1, 2, 3, 4 px\n" in text
    assert "  split: test\n  cluster 00aa: no other image\n" in text
    assert "  predicted: box 1, 2, 3, 4.5 px, IoU 0.800\n" in text
    assert f"  tables/split.csv {md5('tables/split.csv')[:8]}: split {runs['split'][:8]}\n" in text
    assert "mean_iou 0.500, mean_box_iou 0.125" in text


def test_the_text_has_a_quarantined_row_and_its_finding(
    runs: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("b.jpg") == 0
    text = capsys.readouterr().out
    assert "  annotated in all.csv:3: cat, box 1, 2, ?, 4 px\n    quarantined: value_missing\n" in text
    assert "  critical value_missing (all.csv:3:xmax): expected a number, got nothing\n  split: none\n" in text


@pytest.mark.usefixtures("runs")
def test_an_images_json_has_the_documented_keys(capsys: pytest.CaptureFixture[str]) -> None:
    assert set(read(capsys, "a.jpg")["image"]) == {field.name for field in fields(ImageRecord)}
