"""`localizer cross-validate` in a tiny project: one fold fails at first, and the second call runs that fold alone."""

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from project import commit, copy_project, run

from localizer.evaluation.evaluated_model import read_predictions
from localizer.evaluation.intervals import mean

pytestmark = pytest.mark.pipeline

FAIL = ".localizer/fail"
# The split of fold 1 fails while there is a file in the main checkout; nothing in git changes when it is removed.
TOLD_TO_FAIL = f"""
import os

if "fold: 1 " in Path("params.yaml").read_text() and (Path(os.environ["DVC_ROOT"]) / "{FAIL}").exists():
    sys.exit("split: told to fail")
"""
COMMAND = ["localizer", "cross-validate", "--folds", "2", "--name", "tiny", "-S", "train.lr=0.01"]
FOLDS = ["tiny-fold-0", "tiny-fold-1"]


@dataclass(frozen=True)
class Validated:
    """A project that was cross-validated twice, and what the two calls printed; the first had a failing fold."""

    folder: Path
    failed: str
    done: str

    @property
    def results(self) -> Path:
        return self.folder / "reports/folds/tiny"

    def runs(self) -> list[Run]:
        client = MlflowClient(f"sqlite:///{self.folder / 'mlflow.db'}")
        return list(client.search_runs([one.experiment_id for one in client.search_experiments()]))

    @property
    def pooled(self) -> Run:
        (found,) = [one for one in self.runs() if one.data.tags.get("kind") == "cross-validation"]
        return found


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, finished_project: Path, empty_store: Path) -> Path:
    folder = tmp_path_factory.mktemp("team") / "project"
    copy_project(finished_project, folder, {"train": {"depth": 18}}, store=empty_store)
    script = folder / "stages/split.py"
    text = script.read_text(encoding="utf-8")
    script.write_text(text.replace('\n\nif __name__ == "__main__":', f'\n{TOLD_TO_FAIL}\n\nif __name__ == "__main__":'))
    commit(folder)
    return folder


@pytest.fixture(scope="module")
def validated(project: Path) -> Validated:
    (project / ".localizer").mkdir(exist_ok=True)
    (project / FAIL).touch()
    failed = run(project, *COMMAND, status=1)
    (project / FAIL).unlink()
    return Validated(project, failed, run(project, *COMMAND))


def test_a_failed_fold_is_named_with_its_log_after_the_others_have_finished(validated: Validated) -> None:
    assert (
        "localizer cross-validate: failed: tiny-fold-1, of 2 folds. The end of the log of tiny-fold-1:"
        in validated.failed
    )
    assert "  split: told to fail" in validated.failed
    assert "tiny-fold-0: finished after " in validated.failed
    assert "The finished folds are kept; fix the cause, and run the same command again" in validated.failed


def test_the_second_call_runs_what_is_missing_only(validated: Validated) -> None:
    assert "tiny-fold-0: finished, mean IoU 0." in validated.done
    assert "tiny-fold-1: queued" in validated.done
    assert "tiny-fold-0: queued" not in validated.done
    trainings = [one for one in validated.runs() if one.data.tags.get("stage") == "train"]
    assert len(trainings) == len(FOLDS)


def test_every_image_is_in_the_pooled_predictions_once_with_the_row_of_its_fold(validated: Validated) -> None:
    images = read_predictions(validated.results / "predictions.csv")
    assert sorted(images["image"]) == sorted(pd.read_csv(validated.folder / "tables/clean.csv")["image"])
    assert images["fold"].nunique() == len(FOLDS)
    for fold, name in enumerate(FOLDS):
        text = run(validated.folder, "git", "show", f"{revision(validated, name)}:reports/evaluate/predictions.csv")
        own = images[images["fold"] == fold]
        assert [line.split(",")[0] for line in text.splitlines()[1:]] == own["image"].tolist()
        assert [float(line.split(",")[12]) for line in text.splitlines()[1:]] == own["iou"].tolist()


def test_the_metrics_are_of_all_images_with_their_intervals(validated: Validated) -> None:
    images = read_predictions(validated.results / "predictions.csv")
    metrics = json.loads((validated.results / "metrics.json").read_text())
    expected = mean(images["iou"].to_numpy(), clusters=images["cluster"].to_numpy())
    found = [metrics[f"mean_iou{end}"] for end in ("", "_low", "_high")]
    assert found == pytest.approx([expected.value, expected.low, expected.high], abs=1e-6)
    assert metrics["images"] == len(images)
    assert f"2 folds pooled, {len(images)} images: mean IoU {expected.value:.3f}" in validated.done


def test_the_files_are_those_of_the_stage_evaluate_and_git_sees_none(validated: Validated) -> None:
    names = {"metrics.json", "measures.csv", "predictions.csv", "iou_curve.csv", "slices.csv", "suspects.csv"}
    names |= {"plots", "report.html", "gallery.png", "folds.json"}
    assert {path.name for path in validated.results.iterdir()} == names
    assert "form 2 folds" in (validated.results / "report.html").read_text()
    assert run(validated.folder, "git", "status", "--short") == ""


def test_mlflow_has_one_run_of_the_folds_with_metrics_files_and_links(validated: Validated) -> None:
    pooled, runs = validated.pooled, {one.info.run_id: one for one in validated.runs()}
    metrics = json.loads((validated.results / "metrics.json").read_text())
    assert (pooled.info.run_name, pooled.info.status, pooled.data.tags["folds"]) == ("tiny", "FINISHED", "2")
    assert pooled.data.metrics["evaluate/mean_iou"] == pytest.approx(metrics["mean_iou"])
    assert pooled.data.params["train.lr"] == "0.01"
    assert "split.fold" not in pooled.data.params
    assert [runs[pooled.data.tags[f"fold.{fold}"]].info.run_name for fold in range(2)] == FOLDS
    client = MlflowClient(f"sqlite:///{validated.folder / 'mlflow.db'}")
    stored = {file.path for file in client.list_artifacts(pooled.info.run_id)}
    assert stored == {path.name for path in validated.results.iterdir()}


def test_a_further_call_runs_nothing_and_gives_the_same_bytes_and_no_second_run(validated: Validated) -> None:
    before = {path.name: path.read_bytes() for path in validated.results.iterdir() if path.is_file()}
    again = run(validated.folder, *COMMAND)
    assert "queued" not in again
    assert {path.name: path.read_bytes() for path in validated.results.iterdir() if path.is_file()} == before
    assert validated.pooled.info.run_name == "tiny"


def test_another_recipe_under_the_same_name_is_refused(validated: Validated) -> None:
    other = run(validated.folder, *COMMAND[:-1], "train.lr=0.02", status=1)
    assert "tiny-fold-0: an experiment of this name exists, with other params: train.lr 0.01 (now 0.02)" in other
    assert "choose another --name" in other


def test_the_folds_compare_with_themselves_as_found_in_the_folder_and_in_mlflow(validated: Validated) -> None:
    text = run(validated.folder, "localizer", "compare", "tiny", f"run:{validated.pooled.info.run_id}", "--json")
    found = json.loads(text)
    (difference,) = found["differences"]
    count = json.loads((validated.results / "metrics.json").read_text())["images"]
    assert difference["reason"] is None
    assert (difference["gain"]["value"], difference["images"], difference["left_out"]) == (0, count, 0)
    assert found["params"] == {}


def test_one_fold_is_not_compared_with_all(validated: Validated) -> None:
    (difference,) = json.loads(run(validated.folder, "localizer", "compare", "tiny", FOLDS[0], "--json"))["differences"]
    assert "tiny (2 folds) pools 2 folds and tiny-fold-0" in difference["reason"]


@pytest.mark.parametrize("name", ["tiny", "reports/folds/tiny", "folds:tiny", "run"])
def test_folds_are_not_promoted(validated: Validated, name: str) -> None:
    name = validated.pooled.info.run_id if name == "run" else name
    refused = run(validated.folder, "localizer", "promote", name, status=1)
    assert f"{name}: pooled folds, whose models are not meant for use; train the recipe once" in refused


def revision(validated: Validated, name: str) -> str:
    record = json.loads((validated.results / "folds.json").read_text())
    (found,) = [fold["revision"] for fold in record["folds"] if fold["experiment"] == name]
    return str(found)
