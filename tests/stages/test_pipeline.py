"""The pipeline itself, run by DVC on a tiny demo in a clone, with MLflow read back."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from PIL import Image
from project import STAGES, TINY, commit, make_project, run, set_params, stages_run

from localizer.config import flatten, read_yaml
from localizer.predictor import Predictor
from localizer.tables import EDGES, read_table


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, committed, with tiny parameters."""
    folder = tmp_path_factory.mktemp("clone")
    make_project(folder, TINY)
    commit(folder)
    return folder


@pytest.fixture(scope="module")
def first(clone: Path) -> str:
    """What the first `dvc repro` printed."""
    return run(clone, "dvc", "repro")


@pytest.fixture(scope="module")
def runs(clone: Path, first: str) -> dict[str, Run]:
    """The runs of the first execution, by name; the pipeline's own is called `parent`."""
    client = MlflowClient(f"sqlite:///{clone / 'mlflow.db'}")
    (experiment,) = [one for one in client.search_experiments() if one.name == "localizer"]
    found = client.search_runs([experiment.experiment_id])
    children = {one.info.run_name: one for one in found if "mlflow.parentRunId" in one.data.tags}
    (parent,) = [one for one in found if "mlflow.parentRunId" not in one.data.tags]
    return {**children, "parent": parent}


def test_every_stage_runs_once_and_in_order(first: str) -> None:
    assert stages_run(first) == ["demo", *STAGES]


def test_the_terminal_gets_the_test_iou_and_the_baselines(first: str) -> None:
    assert re.search(r"mean IoU 0\.\d+ \[.*\nbaselines: mean box 0\.\d+, centered box 0\.\d+; gain over", first)


def test_the_metrics_are_those_that_others_rely_on(clone: Path, first: str) -> None:
    metrics = json.loads((clone / "reports/evaluate/metrics.json").read_text())
    names = ["mean_iou", "median_iou", "iou_50", "iou_75", "mean_box_iou", "centre_box_iou", "images"]
    assert {*metrics} >= {*names, "mean_iou_low", "mean_iou_high", "gain_over_mean_box", "coverage"}


def test_the_report_is_one_file_that_needs_nothing_beside_it_and_is_kept_by_mlflow(
    clone: Path, runs: dict[str, Run]
) -> None:
    page = (clone / "reports/evaluate/report.html").read_text(encoding="utf-8")
    assert "Test report" in page
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
    client = MlflowClient(f"sqlite:///{clone / 'mlflow.db'}")
    for name in ("evaluate", "parent"):
        assert "report.html" in {file.path for file in client.list_artifacts(runs[name].info.run_id)}
    assert "predictions.csv" in {file.path for file in client.list_artifacts(runs["evaluate"].info.run_id)}


def test_what_a_stage_cost_is_in_mlflow_alone(clone: Path, runs: dict[str, Run]) -> None:
    assert all(runs[name].data.metrics["cost/peak_memory_mib"] > 50 for name in STAGES)
    assert all(runs["parent"].data.metrics[f"{name}/cost/seconds"] > 0 for name in STAGES)
    outputs = [*clone.glob("reports/evaluate/*"), clone / "models/localizer.json"]
    assert not [path for path in outputs if path.is_file() and b"cost/" in path.read_bytes()]


def test_the_metrics_follow_from_the_predictions_of_the_test_side_alone(clone: Path, first: str) -> None:
    metrics = json.loads((clone / "reports/evaluate/metrics.json").read_text())
    table = read_table(clone / "reports/evaluate/predictions.csv", numbers=["iou", *EDGES])
    split = read_table(clone / "tables/split.csv")
    assert set(table["image"]) == set(split.loc[split["split"] == "test", "image"])
    assert len(table) == metrics["images"]
    assert table["iou"].mean() == pytest.approx(metrics["mean_iou"], abs=1e-5)


def test_each_stage_has_a_finished_run_below_the_pipelines(runs: dict[str, Run]) -> None:
    assert set(runs) == {*STAGES, "parent"}
    assert {one.info.status for one in runs.values()} == {"FINISHED"}
    assert {one.data.tags.get("mlflow.parentRunId") for name, one in runs.items() if name != "parent"} == {
        runs["parent"].info.run_id
    }


def test_the_pipelines_run_carries_all_parameters_and_the_final_metrics(clone: Path, runs: dict[str, Run]) -> None:
    metrics = json.loads((clone / "reports/evaluate/metrics.json").read_text())
    logged = runs["parent"].data
    assert set(logged.params) >= set(flatten(read_yaml(clone / "params.yaml")))
    assert logged.metrics["evaluate/mean_iou"] == pytest.approx(metrics["mean_iou"])
    assert "train/val_iou" in logged.metrics


def test_the_pipelines_page_says_how_well_the_model_does(runs: dict[str, Run]) -> None:
    assert "mean IoU" in runs["parent"].data.tags["mlflow.note.content"]


def test_the_pipelines_run_leaves_the_digests_of_code_to_the_stages(runs: dict[str, Run]) -> None:
    assert {"in.stages/train.py", "in.src/localizer/training"} <= {*runs["train"].data.tags}
    assert not [name for name in runs["parent"].data.tags if name.endswith(".py") or name.startswith("in.src/")]
    assert "in.tables/split.csv" in runs["parent"].data.tags


def test_digests_of_outputs_are_those_of_dvc_lock(clone: Path, runs: dict[str, Run]) -> None:
    lock = read_yaml(clone / "dvc.lock")["stages"]
    for name in STAGES:
        tags = runs[name].data.tags
        assert all(tags[f"out.{out['path']}"] == out["md5"] for out in lock[name]["outs"])


@pytest.mark.filterwarnings("ignore:.*type hint is inferred as AnyType:UserWarning")  # MLflow, of its own classes
def test_the_logged_model_loads_back_with_equal_outputs(clone: Path, runs: dict[str, Run]) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{clone / 'mlflow.db'}")
    (model,) = mlflow.search_logged_models(experiment_ids=[runs["train"].info.experiment_id], output_format="list")
    loaded = mlflow.pyfunc.load_model(model.model_uri)
    paths = sorted((clone / "data/demo/raw/images").iterdir())[:3]
    rows = loaded.predict(pd.DataFrame({"image": [path.read_bytes() for path in paths]}))
    ours = Predictor.load(clone / "models/localizer.safetensors", device=torch.device("cpu"))
    found = [ours.predict(path) for path in paths]
    sides = [[row.xmin_px, row.ymin_px, row.xmax_px, row.ymax_px] for row in rows.itertuples()]
    np.testing.assert_allclose(sides, [one.box_xyxy_px for one in found], atol=0.011)
    np.testing.assert_allclose([*rows["margin_px"]], [one.margin_px for one in found], atol=0.011)


def test_no_output_names_a_path_of_the_machine(clone: Path, first: str) -> None:
    texts = [*clone.glob("tables/*"), *clone.glob("reports/*/*.json"), *clone.glob("reports/*/*.csv")]
    texts += [clone / "models/localizer.json", clone / "dvc.lock"]
    assert not [path for path in texts if str(clone) in path.read_text(encoding="utf-8")]


def test_a_second_repro_runs_nothing_and_makes_no_run(clone: Path, runs: dict[str, Run]) -> None:
    assert stages_run(run(clone, "dvc", "repro")) == []
    client = MlflowClient(f"sqlite:///{clone / 'mlflow.db'}")
    assert len(client.search_runs([runs["parent"].info.experiment_id])) == len(runs)


@pytest.mark.pipeline
def test_an_evaluation_again_gives_the_same_bytes(clone: Path, first: str) -> None:
    def made() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (clone / "reports/evaluate").rglob("*") if path.is_file()}

    before = made()
    assert len(before) >= 12
    assert stages_run(run(clone, "dvc", "repro", "-f", "-s", "evaluate")) == ["evaluate"]
    assert made() == before


@pytest.mark.pipeline
@pytest.mark.parametrize(("stage", "side"), [("train", "train"), ("evaluate", "test")])
def test_an_image_that_is_no_longer_what_the_tables_say_is_refused_by_name(
    clone: Path, first: str, stage: str, side: str
) -> None:
    split = read_table(clone / "tables/split.csv")
    image = split.loc[split["split"] == side, "path"].iloc[0]
    before = (clone / image).read_bytes()
    shutil.rmtree(clone / ".localizer/decoded", ignore_errors=True)
    (clone / image).write_bytes(before + b"another")
    printed = run(clone, "dvc", "repro", "-f", "-s", stage, status=255)
    (clone / image).write_bytes(before)
    assert f"{stage}: {image}: changed since `prepare` ran (its SHA-256 differs); run `dvc repro`" in printed
    assert "Traceback" not in printed
    run(clone, "dvc", "repro")


@pytest.mark.pipeline
def test_plots_and_metrics_are_known_to_dvc(clone: Path, first: str) -> None:
    shown = json.loads(run(clone, "dvc", "metrics", "show", "--json"))
    assert shown[""]["data"]["reports/evaluate/metrics.json"]["data"]["images"] > 0
    page = run(clone, "dvc", "plots", "show")
    html = (clone / page.strip().removeprefix("file://")).read_text(encoding="utf-8")
    assert all(name in html for name in ("val_iou", "share of test images", "box_share", "gallery.png"))


@pytest.mark.pipeline
def test_the_same_inputs_give_the_same_model_again_and_another_seed_another(clone: Path, first: str) -> None:
    def digest() -> str:
        return str(json.loads((clone / "models/localizer.json").read_text())["weights_sha256"])

    before = digest()
    run(clone, "dvc", "repro", "-f", "-s", "train")
    assert digest() == before
    set_params(clone, {"train": {"seed": 1}})
    run(clone, "dvc", "repro", "-s", "train")
    assert digest() != before


@pytest.fixture(scope="module")
def mine(clone: Path, first: str) -> Path:
    """A person's own data set, made by `localizer init` from the demo's files under other column names."""
    theirs = clone.parent / "theirs"
    (theirs / "photos").mkdir(parents=True)
    table = pd.read_csv(clone / "data/demo/raw/annotations.csv").head(40)
    table = table.rename(columns={"image": "photo", "xmin": "a", "ymin": "b"})
    table.assign(c=table["ymax"] - table["b"], d=table["xmax"] - table["a"]).drop(columns=["xmax", "ymax"]).to_csv(
        theirs / "boxes.csv", index=False
    )
    for name in table["photo"]:
        (theirs / "photos" / name).write_bytes((clone / "data/demo/raw/images" / name).read_bytes())
    options = ["--image-column", "photo", "--box-columns", "a,b,c,d", "--box-format", "xyhw"]
    sources = ["--annotations", str(theirs / "boxes.csv"), "--images", str(theirs / "photos")]
    assert "prepare.dataset=mine" in run(clone, "localizer", "init", "mine", *sources, *options)
    return clone / "data/mine/raw"


@pytest.mark.pipeline
def test_ones_own_csv_goes_through_and_no_other_set_is_made(clone: Path, mine: Path) -> None:
    printed = run(clone, "dvc", "exp", "run", "-S", "prepare.dataset=mine", "split")
    assert stages_run(printed) == ["prepare", "validate", "split"]
    ours = read_table(clone / "tables/clean.csv", numbers=EDGES).head(40)
    demo = pd.read_csv(clone / "data/demo/raw/annotations.csv").head(40)
    assert (ours[EDGES].to_numpy() == demo[["xmin", "ymin", "xmax", "ymax"]].to_numpy()).all()


@pytest.mark.pipeline
def test_one_changed_image_of_ones_own_reruns_the_pipeline(clone: Path, mine: Path) -> None:
    run(clone, "dvc", "repro", "split")
    image = min((mine / "images").iterdir())
    Image.open(image).save(image, quality=50)
    assert stages_run(run(clone, "dvc", "repro", "split")) == ["prepare", "validate", "split"]


@pytest.mark.pipeline
def test_a_file_beside_ones_own_images_is_looked_at_once_and_reruns_nothing_else(clone: Path, mine: Path) -> None:
    run(clone, "dvc", "repro", "split")
    (mine / "notes.txt").write_text("taken in May")
    assert stages_run(run(clone, "dvc", "repro", "split")) == ["prepare"]


@pytest.mark.pipeline
def test_a_critical_finding_stops_the_pipeline_after_the_reports_are_written(clone: Path, mine: Path) -> None:
    lines = (mine / "boxes.csv").read_text(encoding="utf-8").splitlines()
    lines[3] = lines[3].replace(",digit,", ",digit,1000", 1)
    (mine / "boxes.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    printed = run(clone, "dvc", "repro", status=255)
    assert "data/mine/raw/boxes.csv:4:" in printed
    assert "outside_image" in printed
    assert stages_run(printed) == ["prepare", "validate"]
    findings = read_table(clone / "reports/validate/findings.csv")
    assert set(findings.loc[findings["severity"] == "critical", "line"]) == {"4"}
    assert (clone / ".localizer/data_docs/index.html").is_file()
    assert not (clone / "tables/clean.csv").exists()


@pytest.mark.pipeline
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prepare": {"dataset": "yours"}}, "data/yours"),
        ({"train": {"lr": -1}}, "params.yaml: train.lr: input should be greater than 0, got -1"),
        ({"train": {"device": "cuda"}}, "device cuda: expected a usable GPU"),
    ],
)
def test_a_wrong_parameter_is_one_clear_message(clone: Path, first: str, changes: Any, message: str) -> None:
    if "cuda" in message and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    text = (clone / "params.yaml").read_text(encoding="utf-8")
    set_params(clone, changes)
    (section,) = changes
    script = f"stages/{section}.py"
    printed = run(clone, "env", "PYTHONPATH=src", "python", script, status=1)
    (clone / "params.yaml").write_text(text, encoding="utf-8")
    assert message in printed
    assert "Traceback" not in printed


@pytest.mark.pipeline
@pytest.mark.skipif("LOCALIZER_MIRROR" not in os.environ, reason="LOCALIZER_MIRROR names no mirror")
@pytest.mark.parametrize(("name", "images"), [("raccoon", 184), ("bccd", 344)])
def test_a_known_data_set_goes_through_all_stages(clone: Path, first: str, name: str, images: int) -> None:
    set_params(clone, {"prepare": {"dataset": name}})
    assert stages_run(run(clone, "dvc", "repro")) == [name, *STAGES]
    assert len(read_table(clone / "tables/clean.csv")) == images
    metrics = json.loads((clone / "reports/evaluate/metrics.json").read_text())
    assert metrics["mean_iou"] > 0
