"""Recipes to cross-validate: names, overrides and what must be committed."""

import subprocess
import sys
from pathlib import Path

import pytest
from tracking_toy import environment

from localizer.cli import main
from localizer.cross_validation.recipe import Recipe, open_recipe

pytestmark = pytest.mark.filterwarnings(
    "ignore:_NoneStep.value will soon:DeprecationWarning"
)  # DVC's graph, of pygtrie

PARAMS = "split:\n  folds: 0 # none\n  fold: 0\ntrain:\n  lr: 0.1\n  seed: 0\n"
PIPELINE = (
    "stages:\n  train:\n    cmd: python code.py\n    deps: [code.py]\n    params: [train]\n    outs: [model.bin]\n"
)


def call(*command: str) -> None:
    subprocess.run(command, env=environment(), check=True, capture_output=True)


@pytest.fixture
def project() -> Path:
    """A project of DVC in the working directory, committed."""
    for name, text in {"params.yaml": PARAMS, "dvc.yaml": PIPELINE, "code.py": "pass\n"}.items():
        Path(name).write_text(text)
    call("git", "init", "-q")
    call(sys.executable, "-m", "dvc", "init", "-q")
    call("git", "add", "-A")
    call("git", "commit", "-qm", "one")
    return Path.cwd()


def recipe(*overrides: str, name: str = "base", folds: int = 3) -> Recipe:
    return open_recipe(name, folds=folds, overrides=overrides)


def test_a_recipe_has_an_experiment_for_each_fold_with_the_overrides_and_the_fold(project: Path) -> None:
    found = recipe("train.lr=0.2")
    assert found.experiments == ["base-fold-0", "base-fold-1", "base-fold-2"]
    assert found.overrides_of(2) == ["train.lr=0.2", "split.folds=3", "split.fold=2"]
    assert found.params == {"split.folds": 3, "train.lr": 0.2, "train.seed": 0}
    assert (project / "params.yaml").read_text() == PARAMS


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epochs=3", r"--set-param train\.epochs=3: Could not override 'train\.epochs'"),
        ("train.lr=0.1,0.2", r"--set-param train\.lr=0\.1,0\.2: expected one value, got several values"),
        ("train.seed=range(3)", "expected one value, got several values; run one recipe a time"),
        ("split.fold=1", "expected one value, got the folds, for which there is --folds"),
        ("split.folds=4", "expected one value, got the folds, for which there is --folds"),
        ("train.lr", "--set-param train.lr: "),
    ],
)
@pytest.mark.usefixtures("project")
def test_a_wrong_override_is_refused_before_anything_runs(override: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recipe(override)


@pytest.mark.parametrize("name", ["", "a b", "../a", "-a", "a/b", "a.lock"])
@pytest.mark.usefixtures("project")
def test_a_name_that_is_no_folder_and_no_experiment_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected letters, digits, - and _, the first a letter or digit"):
        recipe(name=name)


def test_given_splits_are_refused_before_a_fold_is_queued_and_another_method_is_not(project: Path) -> None:
    (project / "params.yaml").write_text(PARAMS.replace("split:\n", "split:\n  method: given\n"))
    call("git", "commit", "-qam", "given")
    with pytest.raises(ValueError, match=r"^split\.method: expected one that makes folds, got given; pass -S"):
        recipe()
    assert recipe("split.method=hash").params["split.method"] == "hash"


@pytest.mark.usefixtures("project")
def test_one_fold_is_refused() -> None:
    with pytest.raises(ValueError, match="--folds: expected 2 or more, got 1"):
        recipe(folds=1)


def test_changes_that_are_not_committed_are_named_with_a_fix(project: Path) -> None:
    (project / "code.py").write_text("changed\n")
    with pytest.raises(ValueError, match=r"aren't committed as they are: code\.py; commit them .* or `git stash` them"):
        recipe()
    call("git", "commit", "-qam", "two")
    assert recipe().params["train.lr"] == 0.1


def test_what_the_pipeline_writes_and_photographs_elsewhere_need_no_commit(project: Path) -> None:
    (project / "model.bin").write_text("made")
    (project / "photo.jpg").write_text("seen")
    (project / "dvc.lock").write_text("schema: '2.0'\n")
    assert recipe().commit


def test_a_folder_without_a_commit_is_refused_with_the_commands(project: Path) -> None:
    (project / ".git").rename(project / "no-git")
    call("git", "init", "-q")
    with pytest.raises(ValueError, match="the folds start from one: `git init && git add -A && git commit"):
        recipe()


def test_a_folder_without_dvc_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cross-validate"]) == 1
    assert "no DVC project here; change to the root of your clone" in capsys.readouterr().err


def test_a_finished_experiment_of_other_params_is_refused_and_of_the_same_is_not(project: Path) -> None:
    found = recipe("train.lr=0.2")
    (project / "params.yaml").write_text(PARAMS.replace("0.1", "0.2").replace("folds: 0", "folds: 3"))
    call("git", "commit", "-qam", "as an experiment has it")
    found.check_same("base-fold-0", "HEAD")
    with pytest.raises(ValueError, match=r"base-fold-0: .* other params: split\.folds 0 \(now 3\), train\.lr 0\.1"):
        found.check_same("base-fold-0", "HEAD~1")


@pytest.mark.usefixtures("project")
def test_no_jobs_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cross-validate", "--jobs", "0"]) == 1
    assert "--jobs: expected 1 or more, got 0" in capsys.readouterr().err
