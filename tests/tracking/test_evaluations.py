"""Evaluations by the name or id that a user gives: their runs, predictions and models, in a toy store of MLflow."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from evaluated_toy import COMMIT, GAINS, WEIGHTS, Logged, enter, execution, log_model, skipped, table

from localizer.tracking.history.evaluations import (
    EvaluationRun,
    find_evaluations,
    find_predictions,
    list_evaluations,
    source_digests,
)
from localizer.tracking.history.runs import History
from localizer.tracking.pooled_run import log_pooled_run
from localizer.tracking.store import Store, open_store

# MLflow's store, of SQLAlchemy.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")


@dataclass(frozen=True)
class Toy:
    """A store with executions of the pipeline, each named after its special feature."""

    root: Path
    store: Store
    runs: dict[str, Logged]

    def find(self, name: str) -> EvaluationRun:
        (found,) = find_evaluations(History([self.store]), name)
        return found

    def predictions(self, name: str) -> Path:
        path = find_predictions(History([self.store]), self.find(name))
        assert path
        return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Toy:
    root = tmp_path_factory.mktemp("toy") / "project"
    (root / ".dvc").mkdir(parents=True)
    shutil.copy(empty_store, root / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        enter(root, patch)
        store = open_store()
        runs = {
            "plain": execution(store, "plain", table([0.5, 0.6])),
            "open": execution(store, "open", status="RUNNING"),
            "bare": execution(store, "bare"),
            "first": execution(store, "twice", table([0.5, 0.6])),
            "second": execution(store, "twice", table([0.5, 0.6])),
        }
        return Toy(root, store, runs)


@pytest.fixture
def toy(made: Toy, monkeypatch: pytest.MonkeyPatch) -> Toy:
    enter(made.root, monkeypatch)
    return made


def test_an_evaluation_has_its_pipelines_params_and_its_own_metrics(toy: Toy) -> None:
    plain, found = toy.runs["plain"], toy.find("plain")
    assert (found.run_id, found.pipeline_id, found.name) == (plain.evaluate, plain.pipeline, "plain")
    assert (found.commit, found.dirty) == (COMMIT["git.commit"], False)
    assert (found.params, found.metrics) == ({"train.lr": "0.1"}, GAINS)
    assert found.model == plain.model
    assert toy.predictions("plain").read_text() == table([0.5, 0.6])


@pytest.mark.parametrize("which", ["pipeline", "train", "evaluate"])
def test_any_run_of_an_execution_finds_its_evaluation(toy: Toy, which: str) -> None:
    plain = toy.runs["plain"]
    assert toy.find(getattr(plain, which)).run_id == plain.evaluate
    assert toy.find(getattr(plain, which)[:6]).run_id == plain.evaluate


def test_a_pipeline_with_a_cached_evaluation_finds_the_cached_one(toy: Toy) -> None:
    plain = toy.runs["plain"]
    again = skipped(toy.store, "again", train=plain.train, evaluate=plain.evaluate)
    found = toy.find("again")
    assert (found.run_id, found.pipeline_id, found.model) == (plain.evaluate, again, plain.model)


def test_an_evaluation_of_two_pipelines_is_found_once_by_the_one_that_ran_it(toy: Toy) -> None:
    ran = execution(toy.store, "repeated", table([0.5, 0.6]))
    skipped(toy.store, "repeated", train=ran.train, evaluate=ran.evaluate)
    assert toy.find("repeated").pipeline_id == ran.pipeline


def test_a_name_of_two_executions_finds_both_evaluations(toy: Toy) -> None:
    found = find_evaluations(History([toy.store]), "twice")
    assert {one.run_id for one in found} == {toy.runs["first"].evaluate, toy.runs["second"].evaluate}


def test_five_of_many_evaluations_are_listed(toy: Toy) -> None:
    listed = list_evaluations([toy.find("plain")] * 7)
    assert listed.count(toy.runs["plain"].evaluate) == 5
    assert listed.endswith("; and 2 older ones")


@pytest.mark.parametrize("asked", ["nothing", "abcdef", "", "it's", "100%"])
def test_a_name_of_no_run_finds_nothing(toy: Toy, asked: str) -> None:
    assert find_evaluations(History([toy.store]), asked) == []


@pytest.mark.parametrize("asked", ["open", "evaluate"])
def test_an_unfinished_evaluation_is_reported(toy: Toy, asked: str) -> None:
    run_id = toy.runs["open"].evaluate
    with pytest.raises(ValueError, match=f"no finished evaluation: .*its evaluation {run_id} is RUNNING; run `dvc"):
        find_evaluations(History([toy.store]), run_id if asked == "evaluate" else asked)


def test_a_pipeline_without_an_evaluation_is_reported_with_its_state(toy: Toy) -> None:
    tags = {"kind": "pipeline", "stage.evaluate": "pending"}
    killed = toy.store.client.create_run(toy.store.experiment_id, tags=tags, run_name="killed").info.run_id
    toy.store.client.set_terminated(killed, "KILLED")
    with pytest.raises(ValueError, match=f"{killed} \\(killed\\): evaluate is pending, the run KILLED"):
        find_evaluations(History([toy.store]), "killed")


def test_a_run_of_no_pipeline_is_reported(toy: Toy) -> None:
    toy.store.client.create_run(toy.store.experiment_id, run_name="by hand")
    with pytest.raises(ValueError, match=r"by hand: no finished evaluation: .*: not a run of the pipeline"):
        find_evaluations(History([toy.store]), "by hand")


def test_a_run_without_predictions_has_none(toy: Toy) -> None:
    assert find_predictions(History([toy.store]), toy.find("bare")) is None


def test_a_run_of_an_unknown_commit_has_none(toy: Toy) -> None:
    execution(toy.store, "unknown commit", commit={"git.commit": "unknown", "git.dirty": "unknown"})
    found = toy.find("unknown commit")
    assert (found.commit, found.dirty) == ("", None)


def test_of_several_logged_models_none_is_chosen(toy: Toy) -> None:
    ran = execution(toy.store, "two models")
    log_model(toy.store, ran.train)
    assert toy.find("two models").model is None


def test_a_training_that_made_other_weights_is_not_the_source_of_the_evaluated_ones(toy: Toy) -> None:
    ran = execution(toy.store, "other weights")
    toy.store.client.set_tag(ran.train, f"out.{WEIGHTS}", "0")
    assert toy.find("other weights").model is None


def test_if_the_linked_training_made_other_weights_the_model_is_their_producers(toy: Toy) -> None:
    one, other = execution(toy.store, "evaluated"), execution(toy.store, "linked")
    skipped(toy.store, "mixed", train=other.train, evaluate=one.evaluate)
    assert toy.find("mixed").model == one.model


def test_a_training_without_digests_is_not_the_source(toy: Toy) -> None:
    ran = execution(toy.store, "no digests")
    toy.store.client.delete_tag(ran.train, f"out.{WEIGHTS}")
    assert toy.find("no digests").model is None


def test_sources_are_what_training_and_evaluation_read_and_did_not_make(toy: Toy) -> None:
    ran = execution(toy.store, "sources")
    toy.store.write_tags(ran.train, {"in.tables/t.csv": "2", "in.train.py": "3"})
    toy.store.write_tags(ran.evaluate, {"in.evaluate.py": "4", "in.models/log.csv": "1"})
    known = {"tables/t.csv": "2", "train.py": "3", "evaluate.py": "4"}
    assert source_digests(History([toy.store]), toy.find("sources")) == known
    toy.store.write_tags(ran.pipeline, {"stage.prepare": "unknown", "stage.split": "unknown"})
    assert source_digests(History([toy.store]), toy.find("sources")) == known


def test_sources_are_unknown_if_no_known_training_made_the_weights(toy: Toy) -> None:
    ran = execution(toy.store, "weights from the cache")
    toy.store.client.delete_run(ran.train)
    assert source_digests(History([toy.store]), toy.find("weights from the cache")) == {}


def test_an_evaluation_whose_pipelines_run_was_deleted_is_still_found(toy: Toy) -> None:
    ran = execution(toy.store, "deleted")
    toy.store.client.delete_run(ran.pipeline)
    found = toy.find(ran.evaluate)
    assert (found.run_id, found.pipeline_id, found.name) == (ran.evaluate, ran.evaluate, "evaluate")
    assert found.model == ran.model


def test_predictions_on_a_server_are_copied_once(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, local = toy.runs["plain"], toy.predictions("plain")
    downloads = []

    def download(run_id: str, name: str, folder: str) -> str:
        downloads.append(run_id)
        return str(shutil.copy(local, Path(folder) / name))

    row = toy.store.client.get_run(plain.evaluate)
    history = History([toy.store])
    monkeypatch.setattr(row.info, "_artifact_uri", "mlflow-artifacts:/0/artifacts")
    monkeypatch.setattr(history, "get", lambda run_id: row if run_id == plain.evaluate else None)
    monkeypatch.setattr(history, "named", lambda asked: [row])
    monkeypatch.setattr(toy.store.client, "download_artifacts", download)
    for _ in range(2):
        (found,) = find_evaluations(history, plain.evaluate)
        path = find_predictions(history, found)
        assert path == toy.root / ".localizer/predictions" / f"{plain.evaluate}.csv"
        assert pd.read_csv(path)["iou"].tolist() == [0.5, 0.6]
    assert downloads == [plain.evaluate]


def test_the_run_of_pooled_folds_is_its_own_evaluation(toy: Toy) -> None:
    Path("predictions.csv").write_text(table([0.5, 0.6]))
    logged: dict[str, Any] = {
        "params": {"train.lr": 0.1, "prepare.dataset": "mine"},
        "metrics": {"mean_iou": 0.55, "worst_decile_iou": float("nan")},
        "commit": "c" * 40,
        "sources": {"src/localizer/model": "1", "tables/split.csv": "2"},
        "folds": [toy.runs["plain"].pipeline, ""],
        "artifacts": [Path("predictions.csv")],
    }
    run_id = log_pooled_run("pooled", **logged, note="in words")
    assert log_pooled_run("pooled", **logged, note="again") == run_id
    found = toy.find("pooled")
    assert (found.run_id, found.pipeline_id, found.folds, found.model) == (run_id, run_id, 2, None)
    assert (found.metrics, found.params["train.lr"], found.commit) == ({"mean_iou": 0.55}, "0.1", "c" * 40)
    assert toy.predictions("pooled").read_text() == table([0.5, 0.6])
    assert source_digests(History([toy.store]), found) == logged["sources"]
    tags = toy.store.client.get_run(run_id).data.tags
    assert (tags["fold.0"], tags["dataset"]) == (toy.runs["plain"].pipeline, "mine")
    assert "fold.1" not in tags
    assert toy.find("plain").folds == 0
