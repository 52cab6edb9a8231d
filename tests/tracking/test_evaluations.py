"""Evaluations by what a user writes, in a toy store of MLflow: their runs, predictions and models."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from evaluated_toy import COMMIT, GAINS, WEIGHTS, Logged, enter, execution, log_model, skipped, table

from localizer.tracking.history.evaluations import EvaluationRun, find_evaluations, list_evaluations, source_digests
from localizer.tracking.history.runs import History
from localizer.tracking.store import Store, open_store

# MLflow's store, of SQLAlchemy.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")


@dataclass(frozen=True)
class Toy:
    """A store with executions of the pipeline, each named after what is special about it."""

    root: Path
    store: Store
    runs: dict[str, Logged]

    def find(self, name: str) -> EvaluationRun:
        (found,) = find_evaluations(History([self.store]), name)
        return found


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


def test_an_evaluation_is_told_with_its_pipelines_params_and_its_own_metrics(toy: Toy) -> None:
    plain, found = toy.runs["plain"], toy.find("plain")
    assert (found.run_id, found.pipeline_id, found.name) == (plain.evaluate, plain.pipeline, "plain")
    assert (found.commit, found.dirty) == (COMMIT["git.commit"], False)
    assert (found.params, found.metrics) == ({"train.lr": "0.1"}, GAINS)
    assert found.model == plain.model
    assert found.predictions is not None
    assert found.predictions.read_text() == table([0.5, 0.6])


@pytest.mark.parametrize("which", ["pipeline", "train", "evaluate"])
def test_any_run_of_an_execution_means_its_evaluation(toy: Toy, which: str) -> None:
    plain = toy.runs["plain"]
    assert toy.find(getattr(plain, which)).run_id == plain.evaluate
    assert toy.find(getattr(plain, which)[:6]).run_id == plain.evaluate


def test_a_pipeline_that_took_its_evaluation_from_the_cache_means_that(toy: Toy) -> None:
    plain = toy.runs["plain"]
    again = skipped(toy.store, "again", train=plain.train, evaluate=plain.evaluate)
    found = toy.find("again")
    assert (found.run_id, found.pipeline_id, found.model) == (plain.evaluate, again, plain.model)


def test_an_evaluation_of_two_runs_of_one_name_is_told_once_with_the_one_that_ran_it(toy: Toy) -> None:
    ran = execution(toy.store, "repeated", table([0.5, 0.6]))
    skipped(toy.store, "repeated", train=ran.train, evaluate=ran.evaluate)
    assert toy.find("repeated").pipeline_id == ran.pipeline


def test_a_name_of_two_executions_means_both_evaluations(toy: Toy) -> None:
    found = find_evaluations(History([toy.store]), "twice")
    assert {one.run_id for one in found} == {toy.runs["first"].evaluate, toy.runs["second"].evaluate}


def test_a_name_of_many_runs_is_answered_with_five_of_them(toy: Toy) -> None:
    told = list_evaluations([toy.find("plain")] * 7)
    assert told.count(toy.runs["plain"].evaluate) == 5
    assert told.endswith("; and 2 older ones")


@pytest.mark.parametrize("asked", ["nothing", "abcdef", "", "it's", "100%"])
def test_what_no_run_is_called_means_nothing(toy: Toy, asked: str) -> None:
    assert find_evaluations(History([toy.store]), asked) == []


@pytest.mark.parametrize("asked", ["open", "evaluate"])
def test_an_evaluation_that_has_not_ended_is_named(toy: Toy, asked: str) -> None:
    run_id = toy.runs["open"].evaluate
    with pytest.raises(ValueError, match=f"no finished evaluation: .*its evaluation {run_id} is RUNNING; run `dvc"):
        find_evaluations(History([toy.store]), run_id if asked == "evaluate" else asked)


def test_a_pipeline_that_did_not_come_to_its_evaluation_tells_how_far_it_came(toy: Toy) -> None:
    tags = {"kind": "pipeline", "stage.evaluate": "pending"}
    killed = toy.store.client.create_run(toy.store.experiment_id, tags=tags, run_name="killed").info.run_id
    toy.store.client.set_terminated(killed, "KILLED")
    with pytest.raises(ValueError, match=f"{killed} \\(killed\\): evaluate is pending, the run KILLED"):
        find_evaluations(History([toy.store]), "killed")


def test_a_run_of_no_pipeline_is_told(toy: Toy) -> None:
    toy.store.client.create_run(toy.store.experiment_id, run_name="by hand")
    with pytest.raises(ValueError, match=r"by hand: no finished evaluation: .*: not a run of the pipeline"):
        find_evaluations(History([toy.store]), "by hand")


def test_a_run_without_predictions_has_none(toy: Toy) -> None:
    assert toy.find("bare").predictions is None


def test_a_run_of_an_unknown_commit_says_so(toy: Toy) -> None:
    execution(toy.store, "unknown commit", commit={"git.commit": "unknown", "git.dirty": "unknown"})
    found = toy.find("unknown commit")
    assert (found.commit, found.dirty) == ("", None)


def test_of_several_models_that_a_training_logged_none_is_taken(toy: Toy) -> None:
    ran = execution(toy.store, "two models")
    log_model(toy.store, ran.train)
    assert toy.find("two models").model is None


def test_a_training_that_made_other_weights_than_those_judged_is_not_their_source(toy: Toy) -> None:
    ran = execution(toy.store, "other weights")
    toy.store.client.set_tag(ran.train, f"out.{WEIGHTS}", "0")
    assert toy.find("other weights").model is None


def test_where_the_linked_training_made_other_weights_the_model_is_that_of_the_run_that_made_them(toy: Toy) -> None:
    one, other = execution(toy.store, "judged"), execution(toy.store, "linked")
    skipped(toy.store, "mixed", train=other.train, evaluate=one.evaluate)
    assert toy.find("mixed").model == one.model


def test_a_training_of_which_nothing_is_known_is_not_taken_for_the_source(toy: Toy) -> None:
    ran = execution(toy.store, "no digests")
    toy.store.client.delete_tag(ran.train, f"out.{WEIGHTS}")
    assert toy.find("no digests").model is None


def test_a_result_follows_from_what_training_and_evaluation_read_and_did_not_make(toy: Toy) -> None:
    ran = execution(toy.store, "sources")
    toy.store.write_tags(ran.train, {"in.tables/t.csv": "2", "in.train.py": "3"})
    toy.store.write_tags(ran.evaluate, {"in.evaluate.py": "4", "in.models/log.csv": "1"})
    known = {"tables/t.csv": "2", "train.py": "3", "evaluate.py": "4"}
    assert source_digests(History([toy.store]), toy.find("sources")) == known
    toy.store.write_tags(ran.pipeline, {"stage.prepare": "unknown", "stage.split": "unknown"})
    assert source_digests(History([toy.store]), toy.find("sources")) == known


def test_what_a_result_follows_from_is_unknown_where_no_training_is_known_that_made_its_weights(toy: Toy) -> None:
    ran = execution(toy.store, "weights from the cache")
    toy.store.client.delete_run(ran.train)
    assert source_digests(History([toy.store]), toy.find("weights from the cache")) == {}


def test_an_evaluation_whose_pipelines_run_was_deleted_still_means_itself(toy: Toy) -> None:
    ran = execution(toy.store, "deleted")
    toy.store.client.delete_run(ran.pipeline)
    found = toy.find(ran.evaluate)
    assert (found.run_id, found.pipeline_id, found.name) == (ran.evaluate, ran.evaluate, "evaluate")
    assert found.model == ran.model


def test_predictions_on_a_server_are_copied_once(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, there = toy.runs["plain"], toy.find("plain").predictions
    assert there is not None
    downloads = []

    def download(run_id: str, name: str, folder: str) -> str:
        downloads.append(run_id)
        return str(shutil.copy(there, Path(folder) / name))

    row = toy.store.client.get_run(plain.evaluate)
    history = History([toy.store])
    monkeypatch.setattr(row.info, "_artifact_uri", "mlflow-artifacts:/0/artifacts")
    monkeypatch.setattr(history, "get", lambda run_id: row if run_id == plain.evaluate else None)
    monkeypatch.setattr(history, "named", lambda asked: [row])
    monkeypatch.setattr(toy.store.client, "download_artifacts", download)
    for _ in range(2):
        (found,) = find_evaluations(history, plain.evaluate)
        assert found.predictions == toy.root / ".localizer/predictions" / f"{plain.evaluate}.csv"
        assert pd.read_csv(found.predictions)["iou"].tolist() == [0.5, 0.6]
    assert downloads == [plain.evaluate]
