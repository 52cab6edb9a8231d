"""Runs of toy pipelines, executed by dvc and read back from MLflow's database."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow.entities import Run
from tracking_toy import PARAMS, Project, Step

from localizer import config

# MLflow's store, of SQLAlchemy.
pytestmark = [pytest.mark.pipeline, pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")]


@dataclass(frozen=True)
class History:
    """One project's life: every step changes a thing."""

    project: Project
    commit: str
    first: Step
    unchanged: Step
    threshold: Step
    experiment: Step
    killed: Step
    failed: Step
    overtaken: Step
    forced: Step

    def now(self, run: Run) -> Run:
        return self.project.client.get_run(run.info.run_id)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> History:
    project = Project(tmp_path_factory.mktemp("toy") / "my project")
    project.root.mkdir()
    project.make()
    shutil.copy(empty_store, project.root / "mlflow.db")
    commit = project.commit()
    first, unchanged = project.step("repro"), project.step("repro")
    project.set("0.5", "0.6")
    threshold = project.step("repro")
    project.commit()
    experiment = project.step("exp", "run", "--temp", "-S", "train.lr=0.3", "-n", "faster")
    project.set("none", "kill")
    killed = project.step("repro")
    project.set("kill", "raise")
    failed = project.step("repro")
    project.set("raise", "change")
    overtaken = project.step("repro")
    project.set("change", "none")
    forced = project.step("repro", "--force")
    return History(project, commit, first, unchanged, threshold, experiment, killed, failed, overtaken, forced)


def test_an_execution_is_one_run_with_a_run_inside_for_each_stage(history: History) -> None:
    parent = history.first.pipeline.info.run_id
    assert {run.data.tags["mlflow.parentRunId"] for run in history.first.stages.values()} == {parent}
    assert sorted(history.first.stages) == ["evaluate", "prepare", "train"]
    assert {run.info.status for run in history.first.runs} == {"FINISHED"}


def test_the_pipelines_run_is_named_after_data_set_and_commit(history: History) -> None:
    assert history.first.pipeline.info.run_name == f"a {history.commit[:7]}"


def test_the_pipelines_run_has_all_params_and_a_stages_run_its_own(history: History) -> None:
    flat = {name: str(value) for name, value in config.flatten(PARAMS).items()}
    flat["prepare.long"] = flat["prepare.long"][:5999] + "…"  # MLflow takes 6000 characters
    assert history.first.pipeline.data.params == flat
    assert history.first.stages["train"].data.params == {"train.lr": "0.1", "train.fault": "none"}


def test_metrics_go_to_the_stages_run_and_under_its_name_to_the_pipelines(history: History) -> None:
    client = history.project.client
    for run, name in ((history.first.stages["train"], "loss"), (history.first.pipeline, "train/loss")):
        curve = client.get_metric_history(run.info.run_id, name)
        assert [(point.step, point.value) for point in curve] == [(0, 0.0), (1, 0.1), (2, 0.2)]


def test_a_number_that_is_not_finite_is_reported_and_not_logged(history: History) -> None:
    assert "odd" not in history.first.stages["train"].data.metrics
    assert "step 2: MLflow takes finite numbers only; not logged: {'odd': nan}" in history.first.output


def test_an_artifact_goes_to_the_stage_and_a_highlight_to_both(history: History) -> None:
    client = history.project.client
    assert [file.path for file in client.list_artifacts(history.first.stages["train"].info.run_id)] == ["models"]
    for run in (history.first.stages["evaluate"], history.first.pipeline):
        assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["metrics.json"]


def test_artifacts_lie_in_the_main_checkout(history: History) -> None:
    run = history.experiment.stages["train"].info.run_id
    assert (history.project.root / "mlartifacts" / run / "artifacts" / "models" / "a.bin").read_text() == "0.3"


def test_a_table_is_an_input_of_both_runs(history: History) -> None:
    for run in (history.first.stages["prepare"], history.first.pipeline):
        (given,) = run.inputs.dataset_inputs
        assert given.dataset.name == "toy"
        assert [(tag.key, tag.value) for tag in given.tags] == [("mlflow.data.context", "training")]


def test_nothing_to_do_makes_no_run(history: History) -> None:
    assert history.unchanged.runs == []
    assert "didn't change, skipping" in history.unchanged.output


def test_a_changed_param_makes_a_new_run_with_only_the_stages_that_ran(history: History) -> None:
    assert list(history.threshold.stages) == ["evaluate"]
    assert history.threshold.pipeline.data.params["evaluate.threshold"] == "0.6"
    assert history.first.pipeline.data.params["evaluate.threshold"] == "0.5"


def test_skipped_stages_are_linked_to_the_runs_that_made_them(history: History) -> None:
    tags, first = history.threshold.pipeline.data.tags, history.first.stages
    assert tags["stage.prepare"] == f"cached:{first['prepare'].info.run_id}"
    assert tags["stage.train"] == f"cached:{first['train'].info.run_id}"
    assert tags["stage.evaluate"] == f"ran:{history.threshold.stages['evaluate'].info.run_id}"
    assert tags["complete"] == "true"


def test_a_skipped_stages_final_metrics_are_copied(history: History) -> None:
    point = history.project.client.get_metric_history(history.threshold.pipeline.info.run_id, "train/loss")
    assert [(point.step, point.value) for point in point] == [(2, 0.2)]


def test_a_stage_that_makes_no_run_is_unknown_and_another_data_sets_does_not_count(history: History) -> None:
    states = {name: value for name, value in history.first.pipeline.data.tags.items() if "stage." in name}
    assert states["stage.data/a/make"] == "unknown"
    assert sorted(states) == ["stage.data/a/make", "stage.evaluate", "stage.prepare", "stage.train"]


@pytest.mark.parametrize("stage", ["prepare", "train", "evaluate"])
def test_digests_are_those_of_the_lock(history: History, stage: str) -> None:
    locked = history.first.lock[stage]
    expected = {f"in.{item['path']}": item["md5"] for item in locked["deps"]}
    expected |= {f"out.{item['path']}": item["md5"] for item in locked["outs"]}
    tags = history.first.stages[stage].data.tags
    assert {name: value for name, value in tags.items() if name.startswith(("in.", "out."))} == expected
    of_data = {name: value for name, value in expected.items() if not name.endswith(".py")}
    assert of_data.items() <= history.first.pipeline.data.tags.items()
    assert not [name for name in history.first.pipeline.data.tags if name.endswith(".py")]


def test_a_skipped_stages_digests_are_on_the_pipelines_run(history: History) -> None:
    (models,) = (item for item in history.threshold.lock["train"]["outs"] if item["path"] == "models")
    assert models["md5"].endswith(".dir")
    assert history.threshold.pipeline.data.tags["out.models"] == models["md5"]


def test_what_dvc_writes_does_not_make_the_code_dirty(history: History) -> None:
    for run in history.first.runs:
        assert (run.data.tags["git.commit"], run.data.tags["git.dirty"]) == (history.commit, "false")


def test_a_changed_file_makes_the_code_dirty(history: History) -> None:
    tags = history.threshold.pipeline.data.tags
    assert (tags["git.dirty"], tags["git.changed"]) == ("true", "params.yaml")


def test_an_experiment_in_a_temporary_copy_writes_to_the_main_checkout(history: History) -> None:
    assert history.experiment.code == 0, history.experiment.output
    assert history.experiment.pipeline.info.run_name == "faster"
    assert sorted(history.experiment.stages) == ["evaluate", "train"]
    assert history.experiment.pipeline.data.params["train.lr"] == "0.3"
    prepared = history.first.stages["prepare"].info.run_id
    assert history.experiment.pipeline.data.tags["stage.prepare"] == f"cached:{prepared}"
    assert history.experiment.pipeline.data.tags["complete"] == "true"


def test_a_killed_stage_is_closed_at_the_next_start(history: History) -> None:
    assert {run.info.status for run in history.killed.runs} == {"RUNNING"}
    assert {history.now(run).info.status for run in history.killed.runs} == {"KILLED"}


def test_a_killed_run_and_the_one_that_continues_its_work_name_each_other(history: History) -> None:
    for killed, next_ in (
        (history.killed.stages["train"], history.failed.stages["train"]),
        (history.killed.pipeline, history.failed.pipeline),
    ):
        assert history.now(killed).data.tags["successor"] == next_.info.run_id
        assert next_.data.tags["continues"] == killed.info.run_id
    assert "continues" not in history.forced.pipeline.data.tags


def test_an_input_that_changes_while_a_stage_runs_fails_it_and_is_named(history: History) -> None:
    assert history.overtaken.code != 0
    assert "ValueError: changed while train ran: data/table.csv; its results" in history.overtaken.output
    assert {run.info.status for run in history.overtaken.runs} == {"FAILED"}


def test_a_failing_stage_fails_its_run_and_the_pipelines(history: History) -> None:
    assert history.failed.code != 0
    assert {run.info.status for run in history.failed.runs} == {"FAILED"}
    assert "ValueError: a fault was asked for" in history.failed.output


def test_a_failed_execution_is_not_complete(history: History) -> None:
    tags = history.failed.pipeline.data.tags
    assert (tags["stage.train"], tags["complete"]) == ("pending", "false")


def test_a_forced_execution_logs_every_stage_and_copies_nothing(history: History) -> None:
    assert sorted(history.forced.stages) == ["evaluate", "prepare", "train"]
    curve = history.project.client.get_metric_history(history.forced.pipeline.info.run_id, "train/loss")
    assert [point.step for point in curve] == [0, 1, 2]
