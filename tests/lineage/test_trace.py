"""`localizer trace` on a toy pipeline that dvc has run, changed, killed and restored."""

import contextlib
import hashlib
import io
import json
import re
import shutil
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import onnx
import pytest
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput
from tracking_toy import TRAIN, Project, Step

from localizer.cli import main
from localizer.commands import trace
from localizer.tracking.history.records import RunRecord, StageRecord

pytestmark = [
    pytest.mark.pipeline,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning"),  # MLflow's store, of SQLAlchemy
    pytest.mark.filterwarnings("ignore:_NoneStep.value will soon:DeprecationWarning"),  # DVC's graph, of pygtrie
]

MODEL = "models/localizer.safetensors"


@dataclass(frozen=True)
class ToyHistory:
    """The runs of one project, which ends with the first model restored by `dvc checkout`."""

    project: Project
    commit: str
    first: Step
    threshold: Step
    forced: Step
    changed: Step
    killed: Step
    model: str  # address of a model that the first training logged

    def id(self, step: str, stage: str) -> str:
        runs: Step = getattr(self, step)
        return str((runs.pipeline if stage == "pipeline" else runs.stages[stage]).info.run_id)

    def digest(self, step: str, stage: str) -> str:
        locked: Step = getattr(self, step)
        return str(locked.lock[stage]["outs"][0]["md5"])


def make(root: Path) -> Project:
    """Write the toy pipeline, with one file as its model."""
    root.mkdir()
    project = Project(root)
    project.make()
    train = TRAIN.replace("models/a.bin", MODEL).replace('    Path("models/b.bin").write_text("b")\n', "")
    (root / "stages/train.py").write_text(train.replace(".mkdir()", ".mkdir(exist_ok=True)"))
    text = (root / "dvc.yaml").read_text()
    text = text.replace("outs: [models]", f"outs: [{MODEL}]").replace("evaluate.py, models,", f"evaluate.py, {MODEL},")
    assert text.count(MODEL) == 2
    (root / "dvc.yaml").write_text(text)
    return project


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> ToyHistory:
    project = make(tmp_path_factory.mktemp("toy") / "project")
    shutil.copy(empty_store, project.root / "mlflow.db")
    commit = project.commit()
    first = project.step("repro")
    saved = [(project.root / name, (project.root / name).read_text()) for name in ("dvc.lock", "params.yaml")]
    project.set("0.5", "0.6")
    threshold, forced = project.step("repro"), project.step("repro", "--force")
    project.set("0.1", "0.3")
    changed = project.step("repro")
    project.set("none", "kill")
    killed = project.step("repro")
    for path, text in saved:
        path.write_text(text)
    assert project.run("-m", "dvc", "checkout", "--force", "train").returncode == 0
    assert (project.root / MODEL).read_text() == "0.1"
    return ToyHistory(project, commit, first, threshold, forced, changed, killed, _log_model(project, first))


def _log_model(project: Project, first: Step) -> str:
    info = first.stages["train"].info
    made = project.client.create_logged_model(info.experiment_id, name="model", source_run_id=info.run_id)
    project.client.log_outputs(info.run_id, [LoggedModelOutput(made.model_id, step=0)])
    return f"models:/{made.model_id}"


@pytest.fixture
def _inside(history: ToyHistory, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(history.project.root, monkeypatch)


def enter(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "DVC_ROOT", "DVC_STAGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(root)


def call(*arguments: str) -> int:
    return main(["trace", *arguments])


def refusal(asked: str) -> str:
    """Return the one line that `trace` refuses an argument with, without the command's name."""
    with contextlib.redirect_stderr(io.StringIO()) as error:
        assert call(asked) == 1
    (line,) = error.getvalue().splitlines()
    return line.removeprefix("localizer trace: ")


def read(capsys: pytest.CaptureFixture[str], asked: str) -> dict[str, Any]:
    assert call(asked, "--json") == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def ids(steps: list[dict[str, Any]]) -> dict[str, str]:
    return {step["stage"]: step["run"]["id"] if step["run"] else step["state"] for step in steps}


@pytest.fixture
def _elsewhere(history: ToyHistory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Enter a copy of the project, with a store of its own that has no runs."""
    away = shutil.ignore_patterns("mlflow.db*", "mlartifacts", ".localizer")
    shutil.copytree(history.project.root, tmp_path / "clone", ignore=away)
    MlflowClient(f"sqlite:///{tmp_path / 'clone' / 'mlflow.db'}").create_experiment("localizer")
    enter(tmp_path / "clone", monkeypatch)


@pytest.mark.usefixtures("_inside")
def test_a_model_restored_by_dvc_checkout_names_a_run_that_made_it(
    history: ToyHistory, capsys: pytest.CaptureFixture[str]
) -> None:
    result = read(capsys, MODEL)
    assert (result["kind"], result["path"], result["digest"]) == ("output", MODEL, history.digest("first", "train"))
    assert result["step"]["run"]["id"] == history.id("forced", "train")  # the newest of the two with lr 0.1
    assert result["step"]["others"] == 1


@pytest.mark.usefixtures("_inside")
def test_a_model_is_found_by_its_content_under_another_name(
    history: ToyHistory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "best.safetensors").write_text("0.3")
    result = read(capsys, str(tmp_path / "best.safetensors"))
    assert (result["path"], result["digest"]) == (MODEL, hashlib.md5(b"0.3").hexdigest())
    assert result["step"]["run"]["id"] == history.id("changed", "train")


@pytest.mark.usefixtures("_inside")
def test_a_run_is_made_from_those_of_its_own_pipelines_run(
    history: ToyHistory, capsys: pytest.CaptureFixture[str]
) -> None:
    made_from = read(capsys, history.id("first", "evaluate"))["step"]["made_from"]
    assert ids(made_from) == {stage: history.id("first", stage) for stage in ("train", "prepare")}


@pytest.mark.usefixtures("_inside")
def test_a_skipped_stage_is_the_one_that_the_pipelines_run_names_not_the_newest(
    history: ToyHistory, capsys: pytest.CaptureFixture[str]
) -> None:
    made_from = read(capsys, history.id("threshold", "evaluate"))["step"]["made_from"]
    assert ids(made_from)["train"] == history.id("first", "train")
    assert {step["stage"]: step["others"] for step in made_from}["train"] == 1  # that of the forced run


@pytest.mark.usefixtures("_inside")
def test_the_upstream_walk_ends_at_the_dataset_config_and_the_raw_data(
    history: ToyHistory, capsys: pytest.CaptureFixture[str]
) -> None:
    (prepare,) = read(capsys, history.id("first", "train"))["step"]["made_from"]
    assert prepare["via"] == {"data/table.csv": history.digest("first", "prepare")}
    (raw,) = prepare["made_from"]
    assert (raw["stage"], raw["state"], list(raw["via"])) == ("data/a/make", "unknown", ["data/a/raw"])
    assert list(raw["sources"]) == ["data/a/dataset.yaml"]


@pytest.mark.usefixtures("_inside")
def test_the_downstream_walk_has_each_user_at_its_deepest_place(
    history: ToyHistory, capsys: pytest.CaptureFixture[str]
) -> None:
    users = read(capsys, history.id("first", "prepare"))["step"]["used_by"]
    below = {user["run"]["id"]: ids(user["used_by"]) for user in users}
    first = [
        evaluation["run"]["id"]
        for user in users
        for evaluation in user["used_by"]
        if user["run"]["id"] == history.id("first", "train")
    ]
    assert {user["stage"] for user in users} == {"train"}  # evaluate reads the table too
    assert below[history.id("changed", "train")] == {"evaluate": history.id("changed", "evaluate")}
    assert sorted(first) == sorted([history.id("first", "evaluate"), history.id("threshold", "evaluate")])
    assert below[history.id("forced", "train")] == {"evaluate": history.id("forced", "evaluate")}


@pytest.mark.usefixtures("_inside")
def test_a_killed_run_has_its_inputs(history: ToyHistory, capsys: pytest.CaptureFixture[str]) -> None:
    step = read(capsys, history.id("killed", "train"))["step"]
    assert step["run"]["status"] in ("RUNNING", "KILLED")  # it is closed by the next start
    assert (list(step["inputs"]), step["outputs"], step["used_by"]) == (["data/table.csv"], {}, [])


@pytest.mark.usefixtures("_inside")
def test_a_killed_run_is_not_what_made_a_file(history: ToyHistory, capsys: pytest.CaptureFixture[str]) -> None:
    client, killed = history.project.client, history.id("killed", "train")
    client.set_tag(killed, f"out.{MODEL}", history.digest("first", "train"))  # killed between its tags and its end
    result = read(capsys, MODEL)["step"]
    client.delete_tag(killed, f"out.{MODEL}")
    assert result["run"]["id"] == history.id("forced", "train")


@pytest.mark.usefixtures("_inside")
def test_a_run_is_made_from_its_neighbours_also_where_no_tag_links_them(
    history: ToyHistory, capsys: pytest.CaptureFixture[str]
) -> None:
    client, pipeline = history.project.client, history.id("first", "pipeline")
    client.delete_tag(pipeline, "stage.train")
    made_from = read(capsys, history.id("first", "evaluate"))["step"]["made_from"]
    client.set_tag(pipeline, "stage.train", f"ran:{history.id('first', 'train')}")
    assert ids(made_from)["train"] == history.id("first", "train")


@pytest.mark.usefixtures("_inside")
def test_a_pipelines_run_has_its_stages_and_which_were_cached(
    history: ToyHistory, capsys: pytest.CaptureFixture[str]
) -> None:
    stages = read(capsys, history.id("threshold", "pipeline"))["step"]["stages"]
    states = {stage["stage"]: stage["state"] for stage in stages}
    assert list(states.items()) == [
        ("data/a/make", "unknown"),
        ("prepare", "cached"),
        ("train", "cached"),
        ("evaluate", "ran"),
    ]
    assert ids(stages)["train"] == history.id("first", "train")


@pytest.mark.usefixtures("_inside")
def test_a_killed_pipeline_run_has_the_killed_stage(history: ToyHistory, capsys: pytest.CaptureFixture[str]) -> None:
    stages = read(capsys, history.id("killed", "pipeline"))["step"]["stages"]
    assert ids(stages)["train"] == history.id("killed", "train")
    assert len([stage for stage in stages if stage["stage"] == "train"]) == 1


@pytest.mark.usefixtures("_inside")
@pytest.mark.parametrize("address", ["model", "run", "runs model"])
def test_a_logged_models_address_leads_to_its_run(
    history: ToyHistory, capsys: pytest.CaptureFixture[str], address: str
) -> None:
    run = f"runs:/{history.id('first', 'train')}"
    asked = {"model": history.model, "run": run, "runs model": f"{run}/model"}[address]
    result = read(capsys, asked)
    assert result["step"]["run"]["id"] == history.id("first", "train")
    assert result["step"]["run"]["models"] == [history.model]


@pytest.mark.usefixtures("_inside")
def test_another_stores_model_is_not_found(history: ToyHistory) -> None:
    assert re.search(r"models:/m-0: no such file.* logged model of that id .*sqlite:///", refusal("models:/m-0"))


@pytest.mark.usefixtures("_inside")
def test_the_address_of_a_missing_champion_is_an_error_that_names_the_command() -> None:
    assert re.search(
        r"^models:/best@champion: .*not found.*; `localizer promote RUN` sets a", refusal("models:/best@champion")
    )


@pytest.mark.usefixtures("_inside")
def test_an_address_of_another_form_is_an_error_that_lists_the_valid_forms() -> None:
    assert re.search(
        r"^models:/best: expected models:/localizer@champion, .* or runs:/RUN/model", refusal("models:/best")
    )


@pytest.mark.usefixtures("_inside")
def test_a_champion_is_traced_as_the_model_that_it_is(history: ToyHistory, capsys: pytest.CaptureFixture[str]) -> None:
    address = f"sqlite:///{history.project.root / 'mlflow.db'}"
    registry = MlflowClient(address, registry_uri=address)
    registry.create_registered_model("localizer")
    registry.create_model_version("localizer", history.model, history.id("first", "train"))
    registry.set_registered_model_alias("localizer", "champion", "1")
    result = read(capsys, "models:/localizer@champion")
    registry.delete_registered_model("localizer")
    assert result["step"]["run"]["id"] == history.id("first", "train")
    assert result["asked"] == "models:/localizer@champion"


@pytest.mark.usefixtures("_inside")
def test_six_characters_of_an_id_are_enough(history: ToyHistory, capsys: pytest.CaptureFixture[str]) -> None:
    run = history.id("first", "train")
    assert read(capsys, run[:6])["step"]["run"]["id"] == run


@pytest.mark.usefixtures("_inside")
def test_five_characters_of_an_id_are_not(history: ToyHistory) -> None:
    assert re.search("an id needs six characters", refusal(history.id("first", "train")[:5]))


@pytest.mark.usefixtures("_inside")
def test_a_prefix_of_two_runs_is_refused_with_their_ids(history: ToyHistory, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [history.first.stages["train"], history.forced.stages["train"]]
    monkeypatch.setattr("localizer.tracking.history.runs.History.named", lambda _history, _text: rows)
    assert re.search(rf"2 runs match.*{rows[0].info.run_id} .*{rows[1].info.run_id}", refusal("abcdef"))


@pytest.mark.usefixtures("_inside")
def test_a_name_of_several_runs_is_refused(history: ToyHistory) -> None:
    assert re.search(r"train: 4 runs match, newest first: .*write more of an id", refusal("train"))


@pytest.mark.usefixtures("_inside")
def test_a_name_of_one_run_is_enough(
    history: ToyHistory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = history.id("first", "evaluate")
    history.project.client.update_run(run, name="the best one")
    result = read(capsys, "the best one")
    history.project.client.update_run(run, name="evaluate")
    assert result["step"]["run"]["id"] == run


@pytest.mark.usefixtures("_inside")
def test_what_is_a_run_and_a_file_is_refused(history: ToyHistory) -> None:
    path = Path(history.id("first", "train"))
    path.write_text("")
    try:
        assert re.search(rf"both a run and a file or image; write runs:/{path} or \./{path}", refusal(str(path)))
    finally:
        path.unlink()


@pytest.mark.usefixtures("_inside")
def test_an_unknown_name_is_an_error_that_names_where_it_was_searched() -> None:
    assert re.search(r"cat\.jpg: no such file, no image .*no run .*sqlite:///.*/mlflow\.db", refusal("cat.jpg"))


@pytest.mark.usefixtures("_inside")
def test_a_file_that_no_stage_made_is_an_error_with_its_digest(tmp_path: Path) -> None:
    (tmp_path / "strange.safetensors").write_text("strange")
    digest = hashlib.md5(b"strange").hexdigest()
    assert re.search(
        rf"no stage made .*md5 {digest}, according to sqlite:///", refusal(str(tmp_path / "strange.safetensors"))
    )


def write_onnx(path: Path, **metadata: str) -> Path:
    """Write an ONNX file of no nodes, and metadata such as `localizer export` writes."""
    graph = onnx.helper.make_graph([], "empty", [], [])
    model = onnx.helper.make_model(graph)
    onnx.helper.set_model_props(model, metadata)
    onnx.save(model, path)
    return path


@pytest.mark.usefixtures("_inside")
def test_an_onnx_file_leads_to_the_run_that_made_its_weights(
    history: ToyHistory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exported = write_onnx(tmp_path / "best.onnx", weights_md5=hashlib.md5(b"0.3").hexdigest())
    result = read(capsys, str(exported))
    assert (result["kind"], result["path"], result["digest"]) == ("export", MODEL, history.digest("changed", "train"))
    assert result["step"]["run"]["id"] == history.id("changed", "train")


@pytest.mark.usefixtures("_inside")
def test_the_text_of_an_onnx_file_continues_as_that_of_its_weights(
    history: ToyHistory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = history.digest("first", "train")
    exported = write_onnx(tmp_path / "best.onnx", weights_md5=digest)
    assert call(str(exported)) == 0
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == f"{exported}: exported from weights {MODEL} {digest[:8]}"
    assert call(MODEL) == 0
    assert rest == capsys.readouterr().out.splitlines()[1:]


@pytest.mark.usefixtures("_inside")
def test_an_onnx_file_of_unknown_weights_is_an_error_with_their_digest(tmp_path: Path) -> None:
    exported = write_onnx(tmp_path / "strange.onnx", weights_md5="0" * 32)
    assert re.search(
        rf"no stage made the weights that it was exported from, md5 {'0' * 32}, acc", refusal(str(exported))
    )


@pytest.mark.usefixtures("_inside")
def test_an_onnx_file_without_a_weights_digest_is_an_error(tmp_path: Path) -> None:
    exported = write_onnx(tmp_path / "old.onnx", weights_sha256="0" * 64)
    assert re.search(r"old\.onnx: no weights_md5 in its metadata; export it again", refusal(str(exported)))


@pytest.mark.usefixtures("_inside")
def test_a_file_that_is_not_onnx_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    assert re.search(
        r"text\.onnx: not an ONNX file, though its name ends in \.onnx", refusal(str(tmp_path / "text.onnx"))
    )


def test_without_a_store_none_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(tmp_path, monkeypatch)
    assert re.search(r"mlflow\.db: no such file, so there are no runs here", refusal("anything"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("_inside")
def test_tracing_changes_nothing_in_the_store(history: ToyHistory, capsys: pytest.CaptureFixture[str]) -> None:
    before = hashlib.sha256((history.project.root / "mlflow.db").read_bytes()).hexdigest()
    read(capsys, MODEL)
    assert hashlib.sha256((history.project.root / "mlflow.db").read_bytes()).hexdigest() == before


@pytest.mark.usefixtures("_inside")
def test_an_unreachable_server_is_named_without_its_password_and_the_checkouts_store_is_searched(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    assert call(MODEL) == 0
    output = capsys.readouterr()
    assert "MLflow server http://127.0.0.1:9: can't connect; only" in output.err
    assert "secret" not in output.err + output.out
    assert output.out.startswith(MODEL)


def test_an_unreachable_server_is_an_error_without_another_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(tmp_path, monkeypatch)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    assert re.search(r"^MLflow server http://127\.0\.0\.1:9: can't connect; start it, or", refusal("anything"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("_elsewhere")
def test_what_another_store_has_is_unknown_and_the_walk_goes_on_by_the_lock(
    history: ToyHistory, capsys: pytest.CaptureFixture[str]
) -> None:
    step = read(capsys, MODEL)["step"]
    assert (step["stage"], step["state"], step["run"]) == ("train", "unknown", None)
    assert step["via"] == {MODEL: history.digest("first", "train")}
    assert ids(step["made_from"]) == {"prepare": "unknown"}
    assert ids(step["made_from"][0]["made_from"]) == {"data/a/make": "unknown"}
    assert ids(step["used_by"]) == {"evaluate": "unknown"}


@pytest.mark.usefixtures("_elsewhere")
def test_the_text_of_an_unknown_step_explains_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(MODEL) == 0
    assert "train unknown: no run of it in the store" in capsys.readouterr().out


@pytest.mark.usefixtures("_inside")
def test_the_text_has_run_status_commit_and_digest(history: ToyHistory, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(history.id("first", "train")) == 0
    first, *rest = capsys.readouterr().out.splitlines()
    run, commit, digest = history.id("first", "train"), history.commit, history.digest("first", "train")
    expected = (
        rf"train {run[:8]} FINISHED \d{{4}}-\d\d-\d\d \d\d:\d\d UTC, commit {commit[:8]} clean; {MODEL} {digest[:8]}"
    )
    assert re.fullmatch(expected, first)
    assert f"  logged model {history.model}" in rest
    assert [line for line in rest if line.startswith("    evaluate ")]


@pytest.mark.usefixtures("_inside")
def test_a_killed_run_names_the_run_that_continued_it(history: ToyHistory, capsys: pytest.CaptureFixture[str]) -> None:
    killed, other = history.id("killed", "train"), history.id("first", "train")
    history.project.client.set_tag(killed, "successor", other)
    assert call(killed) == 0
    history.project.client.delete_tag(killed, "successor")
    assert f"  continued by run {other[:8]}\n" in capsys.readouterr().out


@pytest.mark.usefixtures("_inside")
def test_of_many_users_the_newest_are_listed_and_the_others_counted(
    history: ToyHistory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("localizer.lineage.walk.MAX_CONSUMERS", 1)
    step = read(capsys, history.id("first", "prepare"))["step"]
    assert ids(step["used_by"]) == {"train": history.id("killed", "train")}
    assert step["more_users"] == 7  # the table was read by four trainings and by four evaluations


@pytest.mark.usefixtures("_inside")
def test_a_repeated_step_is_only_named(history: ToyHistory, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(history.id("first", "evaluate")) == 0
    assert f"prepare {history.id('first', 'prepare')[:8]}, as above; data/table.csv" in capsys.readouterr().out


@pytest.mark.usefixtures("_inside")
def test_a_dirty_commit_has_the_changed_paths(history: ToyHistory, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(history.id("threshold", "evaluate")) == 0
    assert f"commit {history.commit[:8]} dirty (params.yaml)" in capsys.readouterr().out


@pytest.mark.usefixtures("_inside")
def test_the_json_has_the_documented_keys_and_no_absolute_path(
    history: ToyHistory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(MODEL, "--json") == 0
    text = capsys.readouterr().out
    result = json.loads(text)
    assert list(result) == ["asked", "kind", "step", "path", "digest", "image", "tables"]
    assert set(result) == set(
        re.findall(r"\b(?:asked|kind|path|digest|image|tables|step)\b(?=[,:])", trace.__doc__ or "")
    )
    assert set(result["step"]) == {field.name for field in fields(StageRecord)}
    assert set(result["step"]["run"]) == {field.name for field in fields(RunRecord)}
    assert str(history.project.root) not in text
