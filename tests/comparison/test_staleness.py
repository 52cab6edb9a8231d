"""Whether results are stale, in a toy repository that commits them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_compare import EVALUATE, call, commit, dvc, enter
from tracking_toy import SOURCES, environment

from localizer.cli import main
from localizer.comparison.results import ResultFinder
from localizer.comparison.staleness import _enumerated

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value will soon:DeprecationWarning")  # DVC's graph

ROOT = Path(__file__).resolve().parents[2]
PARAMS = "train:\n  seed: 0\n  lr: 0.1\ndemo:\n  scenes: 3\nother:\n  x: 1\n"
DATA = """
stages:
  a:
    wdir: ../..
    cmd: python make.py
    deps: [make.py]
    params: [demo]
    outs: [data/a/raw]
"""
PIPELINE = """
stages:
  train:
    cmd: python train.py
    deps: [train.py, wing, data/a/raw, weights.bin]
    params: [train]
    outs: [model.txt]
  evaluate:
    cmd: python evaluate.py
    deps: [evaluate.py, model.txt]
    params: [train.lr]
    outs: [{reports/evaluate/predictions.csv: {cache: false}}]
    metrics: [{reports/evaluate/metrics.json: {cache: false}}]
  export:
    cmd: cp model.txt exported.txt
    deps: [model.txt, export.py]
    outs: [exported.txt]
"""
MAKE = "from pathlib import Path\nPath('data/a/raw').mkdir()\nPath('data/a/raw/1.txt').write_text('one')\n"
TRAIN = "from pathlib import Path\nPath('model.txt').write_text('model')\n"
FILES = {"params.yaml": PARAMS, "dvc.yaml": PIPELINE, "data/a/dvc.yaml": DATA, "make.py": MAKE, "train.py": TRAIN}
FILES |= {"evaluate.py": EVALUATE, "export.py": "", "README.md": "read me", "weights.bin": "w"}
FILES |= {"wing/loop.py": "loop", "wing/deep/state.py": "state", ".dvcignore": "__pycache__\n"}
MODEL, OTHER = "20f35e630daf44dbfa4c3f68f5399d8c", "f" * 32  # md5 of `model`, and of something else


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("toy") / "project"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    call(root, "git", "init", "-q")
    dvc(root, "init", "-q")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        dvc(root, "add", "-q", "weights.bin")
        dvc(root, "repro", "-q")
    commit(root)
    return root


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(made, tmp_path / "copy")
    enter(tmp_path / "copy", monkeypatch)
    return tmp_path / "copy"


def changed(old: str, new: str, *, name: str = "params.yaml") -> dict[str, str]:
    assert FILES[name].count(old) == 1
    return {name: FILES[name].replace(old, new)}


STALE = {
    "a param": (changed("lr: 0.1", "lr: 0.9"), "with train.lr 0.1 (now 0.9)"),
    "a param more": (changed("lr: 0.1", "lr: 0.1\n  new: 2"), "with train.new (unset) (now 2)"),
    "a param of another type": (changed("seed: 0", "seed: false"), "with train.seed 0 (now False)"),
    "a param of the data": (changed("scenes: 3", "scenes: 4"), "with demo.scenes 3 (now 4)"),
    "code": ({"train.py": TRAIN + "#"}, "with other versions of train.py"),
    "a module of a wing": ({"wing/deep/state.py": "state, too"}, "with other versions of wing"),
    "a module more": ({"wing/new.py": ""}, "with other versions of wing"),
    "code of the data": ({"make.py": MAKE + "#"}, "with other versions of make.py"),
    "code more": (
        changed("[train.py, wing", "[train.py, README.md, wing", name="dvc.yaml"),
        "with other versions of README.md",
    ),
    "a command": (changed("python train.py", "python ./train.py", name="dvc.yaml"), "with other commands of train"),
    "all of it": (
        changed("lr: 0.1", "lr: 0.2") | {"train.py": "#", "evaluate.py": "#"},
        "with train.lr 0.1 (now 0.2), and with other versions of train.py and evaluate.py",
    ),
}
SAME = {
    "a param that no stage uses": changed("x: 1", "x: 2"),
    "a param's place": {"params.yaml": "# new\n" + PARAMS},
    "what no stage reads": {"README.md": "read it"},
    "a stage that the results don't follow from": {"export.py": "#"},
    "a dependency less": changed(", export.py", "", name="dvc.yaml"),
}


@pytest.mark.parametrize("what", STALE)
def test_a_change_without_a_run_makes_results_stale(project: Path, what: str) -> None:
    files, changes = STALE[what]
    for name, text in files.items():
        (project / name).write_text(text)
    assert ResultFinder().find("workspace").stale == f"its results were made {changes}; run `dvc repro`"
    assert ResultFinder().find("rev:HEAD").stale == ""
    commit(project)
    again = "run `dvc repro` and commit what it changes"
    assert ResultFinder().find("rev:HEAD").stale == f"its results were made {changes}; {again}"
    assert ResultFinder().find("rev:HEAD~1").stale == ""


@pytest.mark.parametrize("what", SAME)
def test_a_change_of_no_input_makes_no_result_stale(project: Path, what: str) -> None:
    commit(project, **SAME[what])
    assert (ResultFinder().find("workspace").stale, ResultFinder().find("rev:HEAD").stale) == ("", "")


def test_bytecode_in_a_wing_is_no_change(project: Path) -> None:
    (project / "wing/__pycache__").mkdir()
    (project / "wing/__pycache__/loop.pyc").write_text("bytes")
    assert ResultFinder().find("workspace").stale == ""


def test_an_evaluation_of_another_model_than_the_training_made_is_stale(project: Path) -> None:
    lock = (project / "dvc.lock").read_text()
    place = lock.index(MODEL)  # of the outputs of train, which stands first
    assert lock.count(MODEL) == 4
    commit(project, **{"dvc.lock": lock[:place] + OTHER + lock[place + len(MODEL) :]})
    assert (
        ResultFinder().find("rev:HEAD").stale.startswith("its results were made with other versions of model.txt; run")
    )


def test_another_version_of_what_dvc_tracks_makes_results_stale(project: Path) -> None:
    (project / "weights.bin").write_text("v")
    dvc(project, "add", "-q", "weights.bin")
    commit(project)
    assert (
        ResultFinder()
        .find("rev:HEAD")
        .stale.startswith("its results were made with other versions of weights.bin; run")
    )


@pytest.mark.parametrize("name", ["metrics.json", "predictions.csv"])
def test_results_that_the_lock_does_not_have_are_of_unknown_origin(project: Path, name: str) -> None:
    path = project / "reports/evaluate" / name
    path.write_text(path.read_text().replace("}", ', "new": 1}') + "\n")
    commit(project)
    found = ResultFinder().find("rev:HEAD")
    stale = f"what its reports/evaluate/{name} was made from is unknown: dvc.lock records another version"
    assert found.stale == f"{stale}; run `dvc repro` and commit what it changes"
    assert found.sources == {}


def test_results_of_a_broken_pipeline_are_of_unknown_origin(project: Path) -> None:
    commit(project, **{"dvc.yaml": "stages: ["})
    assert ResultFinder().find("rev:HEAD").stale.startswith("what its results were made from is unknown: ")


def test_of_many_the_first_five_are_named() -> None:
    assert _enumerated("abc") == "a, b and c"
    assert _enumerated("abcdefga") == "a, b, c, d, e and 2 more"


@pytest.fixture
def stale(project: Path) -> str:
    """Commit a change without a run; return the warning."""
    commit(project, **changed("lr: 0.1", "lr: 0.9"))
    sha = call(project, "git", "rev-parse", "--short=7", "HEAD")
    reason = "its results were made with train.lr 0.1 (now 0.9); run `dvc repro` and commit what it changes"
    return f"HEAD ({sha}): {reason}"


def compare(*options: str) -> None:
    assert main(["compare", "rev:HEAD~1", "rev:HEAD", *options]) == 0


def test_in_a_terminal_the_warning_is_apart_from_the_tables(stale: str, capsys: pytest.CaptureFixture[str]) -> None:
    compare()
    captured = capsys.readouterr()
    assert captured.err == f"compare: WARNING: {stale}\n"
    assert captured.out.startswith("RESULTS")


def test_in_markdown_the_warning_is_the_first_paragraph(stale: str, capsys: pytest.CaptureFixture[str]) -> None:
    compare("--markdown")
    captured = capsys.readouterr()
    assert captured.err == ""
    title, warning, section, *_ = captured.out.split("\n\n")
    assert (title, section) == ("## Comparison", "### Results")
    assert warning.replace("\\", "") == f"**WARNING:** {stale}"


def test_in_json_the_warning_is_a_key_of_the_result(stale: str, capsys: pytest.CaptureFixture[str]) -> None:
    compare("--json")
    results = [one for group in json.loads(capsys.readouterr().out)["groups"] for one in group["results"]]
    assert [one["stale"] for one in results] == [None, stale.split(": ", 1)[1]]


def test_on_the_page_the_warning_precedes_the_outcome(stale: str) -> None:
    compare("--html", "page.html")
    text = Path("page.html").read_text(encoding="utf-8")
    assert text.count(stale) == 1
    assert text.index(stale) < text.index('class="claim"')


def summary(root: Path, base: str) -> tuple[int, str, str]:
    """Return status, output and standard error of `make summary` with this checkout's Makefile and code."""
    shutil.copy(ROOT / "Makefile", root)
    for name in ("requirements.lock", "pyproject.toml", ".venv/.set-up"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    (root / "src").symlink_to(SOURCES)
    ours = environment(PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}", MLFLOW_TRACKING_URI="")
    command = ["make", "--no-print-directory", "summary", f"BASE={base}"]
    done = subprocess.run(command, cwd=root, env=ours, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_the_summary_warns_first_and_has_metrics_and_parameters(project: Path, stale: str) -> None:
    status, output, _ = summary(project, "HEAD~1")
    assert status == 0
    title, comparison, warning, *_ = output.split("\n\n")
    assert (title, comparison) == ("# Results against HEAD~1", "## Comparison")
    assert warning.replace("\\", "") == f"**WARNING:** {stale}"
    assert "## Metrics\n\n| Path" in output
    assert "| params.yaml | train.lr | 0.1      | 0.9    |" in output


@pytest.mark.slow
def test_the_summary_of_a_projects_first_results_is_no_failure(project: Path) -> None:
    (project / "reports/evaluate/metrics.json").rename(project / "kept.json")
    commit(project)
    call(project, "git", "tag", "base")
    (project / "kept.json").rename(project / "reports/evaluate/metrics.json")
    commit(project)
    status, output, _ = summary(project, "base")
    assert status == 0
    assert "## Comparison\n\nThere is nothing to compare: base (" in output
    assert "| reports/evaluate/metrics.json | mean_iou | -" in output


@pytest.mark.slow
def test_the_summary_has_the_reason_of_a_failure(project: Path) -> None:
    status, output, error = summary(project, "nowhere")
    assert status != 0
    reason = "rev:nowhere: no branch, tag, commit or experiment of that name"
    assert f"`localizer compare` failed:\n\n    localizer compare: {reason}" in output
    assert "`dvc metrics` failed:" in output
    assert reason in error
