"""`localizer compare` in a toy repository of git, DVC and MLflow: what a user writes, and what is found by it."""

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image
from tracking_toy import environment

from localizer.cli import main
from localizer.commands import compare
from localizer.comparison.results import ResultFinder, read_predictions
from localizer.evaluation.pooled_record import FoldRecord, PooledRecord
from localizer.tracking.store import Store, open_store

pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning"),  # MLflow's store, of SQLAlchemy
    pytest.mark.filterwarnings("ignore:_NoneStep.value will soon:DeprecationWarning"),  # DVC's graph, of pygtrie
]

PARAMS = "train:\n  seed: 0\n  lr: 0.1\n"
PIPELINE = """
stages:
  evaluate:
    cmd: {python} evaluate.py
    deps: [evaluate.py, data.txt]
    params: [train]
    outs: [reports/evaluate/predictions.csv]
    metrics: [{{reports/evaluate/metrics.json: {{cache: false}}}}]
"""
COLUMNS = (
    "image,label,width,height,xmin_px,ymin_px,xmax_px,ymax_px,pred_xmin_px,pred_ymin_px,pred_xmax_px,pred_ymax_px,iou"
)
# 30 images; the IoU is 0.5 and more by the learning rate, and by the seed on every other image.
EVALUATE = f"""
import json, re
from pathlib import Path

text = Path("params.yaml").read_text()
seed, lr = (float(re.search(name + r": ([\\d.]+)", text)[1]) for name in ("seed", "lr"))
ious = [0.5 + lr + (seed / 100 if number % 2 else 0) for number in range(30)]
boxes = "0.0,0.0,50.0,50.0,1.0,2.0,50.0,50.0"
rows = [f"{{number}}.png,cat,100,100,{{boxes}},{{iou:.6f}}" for number, iou in enumerate(ious)]
folder = Path("reports/evaluate")
folder.mkdir(parents=True, exist_ok=True)
folder.joinpath("predictions.csv").write_text("\\n".join(["{COLUMNS}", *rows, ""]))
folder.joinpath("metrics.json").write_text(json.dumps({{"mean_iou": round(sum(ious) / 30, 6), "images": 30}}))
"""


def call(root: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=root, env=environment(), check=True, capture_output=True, text=True)
    return done.stdout.strip()


def dvc(root: Path, *arguments: str) -> str:
    return call(root, sys.executable, "-m", "dvc", *arguments)


@dataclass(frozen=True)
class Project:
    """A repository whose tag v1 has lr 0.1, with the experiments warm (lr 0.3) and seed1, and runs of MLflow."""

    root: Path
    runs: dict[str, str]  # ids of pipelines' runs


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Project:
    root = tmp_path_factory.mktemp("toy") / "project"
    root.mkdir()
    files = {"params.yaml": PARAMS, "dvc.yaml": PIPELINE.format(python=sys.executable), "evaluate.py": EVALUATE}
    files |= {"data.txt": "one", ".gitignore": "mlflow.db*\nmlartifacts/\n.localizer/\n"}
    for name, text in files.items():
        (root / name).write_text(text)
    call(root, "git", "init", "-q")
    dvc(root, "init", "-q")
    dvc(root, "repro", "-q")
    call(root, "git", "add", "-A")
    call(root, "git", "commit", "-qm", "one")
    call(root, "git", "tag", "v1")
    dvc(root, "exp", "run", "-q", "-n", "seed1", "-S", "train.seed=1")
    dvc(root, "exp", "run", "-q", "-n", "warm", "-S", "train.seed=0", "-S", "train.lr=0.3")
    call(root, "git", "checkout", "-q", "params.yaml", "dvc.lock", "reports")
    dvc(root, "checkout", "-q")
    shutil.copy(empty_store, root / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        enter(root, patch)
        return Project(root, _log(open_store(), root))


def _log(store: Store, root: Path) -> dict[str, str]:
    """Log an evaluation as that of v1 has it, one called as an experiment with other results, and one of a seed."""
    table = (root / "reports/evaluate/predictions.csv").read_text()
    same, other = {"mean_iou": 0.6, "images": 30.0}, {"mean_iou": 0.7, "images": 30.0}
    found = {
        "v1": _run(store, "v1", params={"train.seed": "0", "train.lr": "0.1"}, metrics=same, table=table),
        "warm": _run(store, "warm", params={"train.seed": "0", "train.lr": "0.2"}, metrics=other, table=table),
    }
    for number in range(2):
        _run(store, "twice", params={"train.seed": str(number)}, metrics=same, table=table)
    digests = {name: hashlib.md5((root / name).read_bytes()).hexdigest() for name in ("evaluate.py", "data.txt")}
    for number in (2, 3):
        params = {"train.seed": str(number), "train.lr": "0.1"}
        found[f"seed{number}"] = _run(store, f"s{number}", params=params, metrics=same, table=table, digests=digests)
    bare = store.client.create_run(store.experiment_id, tags={"kind": "pipeline"}, run_name="bare")
    store.client.set_terminated(bare.info.run_id, "KILLED")
    return found | {"bare": bare.info.run_id}


def _run(
    store: Store,
    name: str,
    *,
    params: dict[str, str],
    metrics: dict[str, float],
    table: str,
    digests: dict[str, str] | None = None,
) -> str:
    """Return the id of the run of a pipeline that had a stage evaluate, and one that DVC took from its cache."""
    commit = {"git.commit": "c" * 40, "git.dirty": "false"}
    digests = digests or {"evaluate.py": "1", "data.txt": "2"}
    pipeline = store.client.create_run(store.experiment_id, tags={"kind": "pipeline"} | commit, run_name=name)
    tags = {"kind": "stage", "stage": "evaluate", "mlflow.parentRunId": pipeline.info.run_id}
    stage = store.client.create_run(store.experiment_id, tags=tags | commit, run_name="evaluate")
    store.write_params(pipeline.info.run_id, params)
    for key, value in metrics.items():
        store.client.log_metric(stage.info.run_id, key, value)
    store.client.log_text(stage.info.run_id, table, "predictions.csv")
    store.write_tags(pipeline.info.run_id, {"stage.evaluate": f"ran:{stage.info.run_id}", "stage.prepare": "unknown"})
    inputs = {f"in.{path}": digest for path, digest in digests.items()}
    store.write_tags(stage.info.run_id, inputs | {"out.reports": "3"})
    for run_id in (stage.info.run_id, pipeline.info.run_id):
        store.client.set_terminated(run_id, "FINISHED")
    return str(pipeline.info.run_id)


def enter(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "DVC_ROOT", "DVC_STAGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(root)


@pytest.fixture
def _inside(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(project.root, monkeypatch)


@pytest.fixture
def copy(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enter a copy of the project that may be changed, without a store of MLflow."""
    away = shutil.ignore_patterns("mlflow.db*", "mlartifacts", ".localizer")
    shutil.copytree(project.root, tmp_path / "copy", ignore=away)
    enter(tmp_path / "copy", monkeypatch)
    return tmp_path / "copy"


def commit(root: Path, **files: str | None) -> None:
    """Commit files with their new text, or without them."""
    for name, text in files.items():
        (root / name).write_text(text) if text is not None else (root / name).unlink()
    call(root, "git", "add", "-A")
    call(root, "git", "commit", "-qm", "changed by hand")


def read(capsys: pytest.CaptureFixture[str], *asked: str) -> dict[str, Any]:
    assert main(["compare", "--json", *asked]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def refused(capsys: pytest.CaptureFixture[str], *asked: str) -> str:
    assert main(["compare", *asked]) == 1
    return capsys.readouterr().err


@pytest.mark.usefixtures("_inside")
def test_an_experiment_is_compared_with_a_tag(capsys: pytest.CaptureFixture[str]) -> None:
    found = read(capsys, "v1", "rev:warm")
    (one,) = found["differences"]
    assert (one["letter"], one["verdict"], one["images"], one["left_out"]) == ("B", "better", 30, 0)
    assert one["gain"]["value"] == pytest.approx(0.2)
    assert (one["seeds"], one["clusters"]) == (False, 30)
    assert found["params"] == {"train.lr": {"A": "0.1", "B": "0.3"}}


@pytest.mark.usefixtures("_inside")
def test_experiments_that_differ_in_their_seeds_only_are_repeats(capsys: pytest.CaptureFixture[str]) -> None:
    found = read(capsys, "rev:warm", "rev:v1", "seed1")
    seeds = [[one["seeds"]["train.seed"] for one in group["results"]] for group in found["groups"]]
    assert seeds == [["0"], ["0", "1"]]
    assert found["differences"][0]["seeds"] is True


@pytest.mark.usefixtures("_inside")
def test_runs_and_revisions_that_differ_in_their_seeds_only_are_repeats(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [f"run:{project.runs[name]}" for name in ("seed2", "seed3")]
    groups = read(capsys, "rev:v1", *runs, "seed1", "rev:warm")["groups"]
    seeds = [[one["seeds"]["train.seed"] for one in group["results"]] for group in groups]
    assert seeds == [["0", "2", "3", "1"], ["0"]]


@pytest.mark.usefixtures("_inside")
def test_a_run_of_other_code_is_no_repeat(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(read(capsys, f"run:{project.runs['seed2']}", f"run:{project.runs['v1']}")["groups"]) == 2


@pytest.mark.usefixtures("_inside")
def test_the_terminals_tables_have_the_results_and_the_outcome(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "rev:v1", "rev:warm"]) == 0
    text = capsys.readouterr().out
    assert "\nB   warm      " in text
    assert "B   better     +0.2000 [+0.2000, +0.2000]  30        0" in text


@pytest.mark.usefixtures("_inside")
def test_the_workspace_has_the_results_of_its_commit(capsys: pytest.CaptureFixture[str]) -> None:
    found = read(capsys, "workspace", "HEAD")
    assert found["groups"][0]["results"][0]["metrics"] == found["groups"][1]["results"][0]["metrics"]
    assert found["differences"][0]["verdict"] == "no clear difference"


def test_params_that_were_edited_since_are_not_those_of_the_workspaces_result(copy: Path) -> None:
    (copy / "params.yaml").write_text(PARAMS.replace("0.1", "0.9") + "new: 1\n")
    assert ResultFinder().find("workspace").params == {"train.seed": 0, "train.lr": 0.1, "new": 1}


def test_params_are_those_of_the_file_if_the_lock_has_another_result(copy: Path) -> None:
    (copy / "params.yaml").write_text(PARAMS.replace("0.1", "0.9"))
    (copy / "reports/evaluate/metrics.json").write_text('{"mean_iou": 0.9}')
    found = ResultFinder().find("workspace")
    assert found.params == {"train.seed": 0, "train.lr": 0.9}
    assert found.sources == {}


def test_params_of_older_versions_are_read_under_their_present_names(copy: Path) -> None:
    (copy / "params.yaml").write_text(PARAMS + "  average: 0.9\n  flip: 0.5\n")
    params = ResultFinder().find("workspace").params
    assert (params["train.ema_decay"], params["train.augment.horizontal_flip"]) == (0.9, 0.5)
    assert "train.average" not in params


def test_what_a_result_was_made_from_is_known_by_content(copy: Path) -> None:
    digests = {name: hashlib.md5((copy / name).read_bytes()).hexdigest() for name in ("evaluate.py", "data.txt")}
    assert ResultFinder().find("v1").sources == digests


def test_predictions_that_are_not_in_the_cache_leave_the_tables(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(copy / ".dvc/cache")
    found = read(capsys, "v1", "warm")
    commit = call(copy, "git", "rev-parse", "v1")
    assert found["params"] == {"train.lr": {"A": "0.1", "B": "0.3"}}
    assert found["groups"][1]["results"][0]["metrics"]["mean_iou"] == 0.8
    reason = "predictions.csv is not in the cache of DVC or its remote; to make it: "
    assert f"{reason}`git checkout {commit[:7]} && dvc repro`" in found["differences"][0]["reason"]


def test_a_commit_without_a_result_is_named(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commit(copy, **{"reports/evaluate/metrics.json": None})
    assert "HEAD (" in (error := refused(capsys, "v1", "HEAD"))
    assert "no reports/evaluate/metrics.json there" in error


def test_in_markdown_a_commit_without_a_result_is_no_failure(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commit(copy, **{"reports/evaluate/metrics.json": None})
    for asked in (["v1", "HEAD"], ["HEAD", "v1"]):
        assert main(["compare", "--markdown", *asked]) == 0
        output = capsys.readouterr().out
        assert output.startswith("## Comparison\n\nThere is nothing to compare: HEAD (")
        assert "no reports/evaluate/metrics.json there" in output


def test_in_a_shallow_clone_an_unknown_revision_comes_with_a_hint_to_fetch_more(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commit(copy, **{"data.txt": "two"})
    assert "--unshallow" not in refused(capsys, "HEAD", "HEAD~2")
    call(copy.parent, "git", "clone", "-q", "--depth", "1", copy.as_uri(), "shallow")
    enter(copy.parent / "shallow", monkeypatch)
    assert "this clone is shallow: `git fetch --unshallow` fetches" in refused(capsys, "HEAD", "HEAD~1")


def test_a_repository_without_runs_needs_none(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(read(capsys, "v1", "warm")["groups"]) == 2
    assert not (copy / "mlflow.db").exists()


def test_an_unknown_name_is_reported_with_the_reason_why_there_are_no_runs(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = refused(capsys, "v1", "nothing")
    assert error.startswith("localizer compare: nothing: no branch, tag, commit or experiment of that name")
    assert "mlflow.db: no such file" in error


@pytest.mark.usefixtures("_inside")
def test_a_run_is_found_by_the_beginning_of_its_id(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    (one, _) = read(capsys, f"run:{project.runs['warm'][:8]}", "v1")["groups"]
    assert one["results"][0]["name"] == f"warm (run {project.runs['warm'][:6]})"
    assert one["results"][0]["metrics"] == {"mean_iou": 0.7, "images": 30.0}
    assert (one["results"][0]["commit"], one["results"][0]["dirty"]) == ("c" * 40, False)


@pytest.mark.usefixtures("_inside")
def test_what_a_run_was_made_from_is_known_though_a_stage_came_from_the_cache() -> None:
    assert ResultFinder().find("run:warm").sources == {"evaluate.py": "1", "data.txt": "2"}


@pytest.mark.usefixtures("_inside")
def test_a_run_and_a_revision_of_one_name_with_other_results_are_ambiguous(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    error = refused(capsys, "v1", "warm")
    assert "warm: both a run" in error
    assert f"write run:{project.runs['warm']} or rev:warm" in error
    assert [ResultFinder().find(f"{kind}:warm").metrics["mean_iou"] for kind in ("run", "rev")] == [0.7, 0.8]


@pytest.mark.usefixtures("_inside")
def test_a_run_and_a_revision_of_one_name_with_equal_results_are_one() -> None:
    assert ResultFinder().find("v1").name.startswith("v1 (")


@pytest.mark.usefixtures("_inside")
def test_a_name_of_several_runs_is_answered_with_their_ids(capsys: pytest.CaptureFixture[str]) -> None:
    error = refused(capsys, "v1", "twice")
    assert "twice: 2 evaluations match" in error
    assert error.count("run:") == 2


@pytest.mark.usefixtures("_inside")
def test_a_run_without_an_evaluation_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "bare: no finished evaluation" in refused(capsys, "v1", "bare")


@pytest.mark.usefixtures("_inside")
def test_the_page_and_markdown_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "rev:v1", "rev:warm", "--html", str(tmp_path / "page.html"), "--markdown"]) == 0
    assert "| B  | better" in capsys.readouterr().out
    assert "<b>B is better</b>" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("path", "message"),
    [(".", "--html .: expected a file, got a folder"), ("new/page.html", "--html new/page.html: no such folder new")],
)
def test_a_page_that_can_not_be_written_is_refused_first(
    path: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(capsys, "nothing", "neither", "--html", path)
    assert not Path("new").exists()


def test_predictions_of_older_versions_have_neither_label_nor_digest_nor_clusters(tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    rows = [f"{name},100,100,0,0,50,50,1,2,50,50,0.5" for name in ("a", "b")]
    path.write_text("\n".join([COLUMNS.replace(",label", ""), *rows, ""]))
    found = read_predictions(path, where="x")
    assert found[["label", "digest", "cluster"]].to_numpy().tolist() == [["", "", 0], ["", "", 1]]


def test_predictions_keep_their_digests_and_clusters(tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    rows = [f"{name},x,100,100,0,0,50,50,1,2,50,50,0.5,7,00{name}1" for name in ("a", "b")]
    path.write_text("\n".join([f"{COLUMNS},cluster,digest", *rows, ""]))
    assert read_predictions(path, where="x")[["digest", "cluster"]].to_numpy().tolist() == [["00a1", 7], ["00b1", 7]]


def test_predictions_whose_cluster_is_no_integer_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    path.write_text(f"{COLUMNS},cluster\na,x,100,100,0,0,50,50,1,2,50,50,0.5,\n")
    with pytest.raises(ValueError, match=r"^x: predictions\.csv is unreadable: invalid literal for int"):
        read_predictions(path, where="x")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a,x,100,100,0,0,50,50,1,2,50,50,0.5"] * 2, "x: predictions.csv has a twice; run the evaluation again"),
        (["a,x,100,100,0,0,50,50,1,2,50,50,"], "x: predictions.csv has an empty number"),
        (["a,x,wide,100,0,0,50,50,1,2,50,50,1"], "x: predictions.csv is unreadable"),
    ],
)
def test_predictions_that_can_not_be_compared_are_refused(tmp_path: Path, rows: list[str], message: str) -> None:
    (tmp_path / "predictions.csv").write_text("\n".join([COLUMNS, *rows, ""]))
    with pytest.raises(ValueError, match=f"^{message}"):
        read_predictions(tmp_path / "predictions.csv", where="x")


def test_predictions_without_a_column_are_refused(tmp_path: Path) -> None:
    (tmp_path / "predictions.csv").write_text("image,iou\na,1\n")
    with pytest.raises(ValueError, match=r"x: predictions\.csv is unreadable: .* no column 'width'"):
        read_predictions(tmp_path / "predictions.csv", where="x")


@pytest.fixture
def asked() -> pd.DataFrame:
    """Tables of a data set of four images, and what a comparison wants to show of three of them."""
    config: dict[str, object] = {"title": "toy", "format": "csv", "annotations": "a.csv", "images": "images"}
    config |= {"columns": {"image": "image", "box": ["a", "b", "c", "d"]}, "box_format": "xyxy", "box_units": "pixel"}
    config |= {"label": "cat", "licence": "none", "source": "here"}
    Path("tables").mkdir()
    Path("tables/dataset.yaml").write_text(json.dumps(config))
    rows = []
    for name in ("same", "changed", "moved", "unasked"):
        Image.new("RGB", (100, 100)).save(f"{name}.png")
        sha256 = hashlib.sha256(Path(f"{name}.png").read_bytes()).hexdigest()
        rows.append(f"{name},{name}.png,{sha256},100,100,0,0,50,50")
    Path("changed.png").write_bytes(b"other")
    header = "image,path,sha256,width,height,xmin_px,ymin_px,xmax_px,ymax_px"
    Path("tables/split.csv").write_text("\n".join([header, *rows, ""]))
    box = {"width": 100, "height": 100, "xmin_px": 0.0, "ymin_px": 0.0, "xmax_px": 50.0, "ymax_px": 50.0}
    return pd.DataFrame(
        [{"image": name} | box for name in ("same", "changed")] + [{"image": "moved"} | box | {"xmax_px": 9}]
    )


def test_only_images_that_are_as_the_results_had_them_are_shown(asked: pd.DataFrame) -> None:
    assert compare._image_files(asked) == {"same": Path("same.png")}


def test_images_that_their_config_keeps_out_of_reports_are_not_shown(asked: pd.DataFrame) -> None:
    config = json.loads(Path("tables/dataset.yaml").read_text())
    Path("tables/dataset.yaml").write_text(json.dumps(config | {"show_images": False}))
    assert compare._image_files(asked) == {}


def test_without_the_tables_no_image_is_shown() -> None:
    assert compare._image_files(pd.DataFrame({"image": ["a"]})) == {}


def pool_as(name: str, *, lr: float) -> None:
    """Write pooled folds under a name: v1's predictions."""
    folder = Path("reports/folds") / name
    folder.mkdir(parents=True)
    for file in ("predictions.csv", "metrics.json"):
        shutil.copy(Path("reports/evaluate") / file, folder / file)
    folds = tuple(FoldRecord(experiment=f"{name}-fold-{fold}", revision="r", run="") for fold in range(2))
    params = {"train.seed": 0, "train.lr": lr}
    record = PooledRecord(name=name, commit="c" * 40, params=params, sources={"code": "1"}, folds=folds)
    (folder / "folds.json").write_text(record.to_json())


@pytest.mark.usefixtures("copy")
def test_pooled_folds_are_found_by_name_and_by_folder() -> None:
    pool_as("base", lr=0.2)
    for spec in ("base", "folds:base", "reports/folds/base", "reports/folds/base/"):
        found = ResultFinder().find(spec)
        assert (found.name, found.folds, found.params["train.lr"]) == ("base (2 folds)", 2, 0.2)
        assert found.images is not None
        assert len(found.images) == 30


@pytest.mark.usefixtures("copy")
def test_folds_with_the_name_of_a_revision_are_asked_for() -> None:
    pool_as("v1", lr=0.1)
    with pytest.raises(
        ValueError, match=r"v1: both folds in reports/folds/v1 and a revision \(\w{7}\); write folds:v1"
    ):
        ResultFinder().find("v1")
    assert ResultFinder().find("folds:v1").folds == 2
    assert ResultFinder().find("rev:v1").folds == 0


@pytest.mark.usefixtures("copy")
def test_folds_that_do_not_exist_or_are_incomplete_are_named_with_the_command_that_makes_them() -> None:
    with pytest.raises(
        ValueError, match=r"folds:none: no reports/folds/none here; `localizer cross-validate` makes it"
    ):
        ResultFinder().find("folds:none")
    pool_as("base", lr=0.2)
    Path("reports/folds/base/predictions.csv").unlink()
    with pytest.raises(
        ValueError, match=r"base: no reports/folds/base/predictions\.csv; run `localizer cross-validate`"
    ):
        ResultFinder().find("base")
    Path("reports/folds/base/folds.json").write_text("{}")
    with pytest.raises(ValueError, match=r"reports/folds/base/folds\.json: Field required; run `localizer cross"):
        ResultFinder().find("base")
