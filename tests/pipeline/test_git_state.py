"""What counts as a change of the code: in git's checkout, and in a toy pipeline's run."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tracking_toy import Project

from localizer.pipeline import dag, git_state

pytestmark = pytest.mark.filterwarnings(
    "ignore:_NoneStep.value will soon:DeprecationWarning"
)  # DVC's graph, of pygtrie


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The toy pipeline and a file that it doesn't read, committed."""
    project = Project(tmp_path_factory.mktemp("toy") / "project")
    project.root.mkdir()
    project.make()
    (project.root / "notes.txt").write_text("tracked")
    project.commit()
    return project


@pytest.fixture
def project(committed: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(committed.root)
    return committed


@contextmanager
def files(*paths: str) -> Iterator[None]:
    """Let files be there that git doesn't know."""
    for path in map(Path, paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    try:
        yield
    finally:
        for name in paths:
            Path(name).unlink()


def changed_with(*paths: str) -> tuple[str, ...] | None:
    """Return what counts as changed while these files are there beside the committed ones."""
    with dag.open_pipeline() as pipeline:
        assert pipeline
        outputs, places = pipeline.outputs(), pipeline.places()
    with files(*paths):
        return git_state.read(outputs, places).changed


def test_what_the_readme_makes_beside_the_pipeline_is_no_change_of_the_code(project: Project) -> None:
    assert changed_with("photos/new.jpg", "boxes.csv", "drawn/new.png", "more/1/2.jpg", "script.py") == ()


@pytest.mark.parametrize(
    "path",
    [
        "stages/losses.py",
        "stages/sub/losses.py",
        "data/a/raw2/1.txt",
        "data/c/dataset.yaml",
        "more/dvc.yaml",
        "photos.dvc",
        ".dvcignore.d/.dvcignore",
        ".dvc/config.mine",
    ],
)
def test_a_file_that_git_does_not_know_is_a_change_where_the_pipeline_could_read_it(
    project: Project, path: str
) -> None:
    assert changed_with(path, "photos/new.jpg") == (path,)


def test_a_file_that_git_does_not_know_is_no_change_where_a_stage_writes_it(project: Project) -> None:
    assert changed_with("models/a.bin", "data/table.csv", "reports/metrics.json") == ()


def test_a_tracked_file_is_a_change_wherever_it_lies(project: Project) -> None:
    (project.root / "notes.txt").write_text("changed")
    try:
        assert changed_with() == ("notes.txt",)
    finally:
        (project.root / "notes.txt").write_text("tracked")


def test_a_params_file_that_git_does_not_know_is_a_change(project: Project) -> None:
    project._git("rm", "-q", "--cached", "params.yaml")
    try:
        assert changed_with() == ("params.yaml", "params.yaml")  # gone from git, and there
    finally:
        project._git("reset", "-q")


def test_outside_of_a_pipeline_every_file_that_git_does_not_know_is_a_change(project: Project) -> None:
    with files("photo.jpg"):
        assert git_state.read([], None).changed == ("photo.jpg",)


@pytest.mark.slow
def test_a_run_beside_photographs_is_clean_and_one_beside_an_untracked_module_is_not(project: Project) -> None:
    with files("photos/new.jpg"):
        assert project.step("repro").pipeline.data.tags["git.dirty"] == "false"
    with files("stages/more.py"):
        tags = project.step("repro", "--force").pipeline.data.tags
    assert (tags["git.dirty"], tags["git.changed"]) == ("true", "stages/more.py")
