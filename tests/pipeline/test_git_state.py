"""Which files make the code dirty, in a checkout and in the run of a toy pipeline."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tracking_toy import Project

from localizer.pipeline import dag
from localizer.pipeline.git_state import read_git_state

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
    """Create untracked files for a while."""
    for path in map(Path, paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    try:
        yield
    finally:
        for name in paths:
            Path(name).unlink()


def changed_with(*paths: str) -> tuple[str, ...] | None:
    """Return what counts as changed while these untracked files exist."""
    with dag.open_pipeline() as pipeline:
        assert pipeline
        outputs, sources = pipeline.output_paths(), pipeline.source_paths()
    with files(*paths):
        return read_git_state(outputs, sources).changed


def test_untracked_files_that_the_readme_makes_are_no_change(project: Project) -> None:
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
def test_an_untracked_file_is_a_change_where_the_pipeline_could_read_it(project: Project, path: str) -> None:
    assert changed_with(path, "photos/new.jpg") == (path,)


def test_an_untracked_file_is_no_change_where_a_stage_writes_it(project: Project) -> None:
    assert changed_with("models/a.bin", "data/table.csv", "reports/metrics.json") == ()


def test_a_tracked_file_is_a_change_wherever_it_lies(project: Project) -> None:
    (project.root / "notes.txt").write_text("changed")
    try:
        assert changed_with() == ("notes.txt",)
    finally:
        (project.root / "notes.txt").write_text("tracked")


def test_an_untracked_params_file_is_a_change(project: Project) -> None:
    project._git("rm", "-q", "--cached", "params.yaml")
    try:
        assert changed_with() == ("params.yaml", "params.yaml")  # removed from the index, and untracked
    finally:
        project._git("reset", "-q")


def test_without_a_pipeline_every_untracked_file_is_a_change(project: Project) -> None:
    with files("photo.jpg"):
        assert read_git_state().changed == ("photo.jpg",)


@pytest.mark.slow
def test_an_untracked_photograph_leaves_a_run_clean_and_an_untracked_module_does_not(project: Project) -> None:
    with files("photos/new.jpg"):
        assert project.step("repro").pipeline.data.tags["git.dirty"] == "false"
    with files("stages/more.py"):
        tags = project.step("repro", "--force").pipeline.data.tags
    assert (tags["git.dirty"], tags["git.changed"]) == ("true", "stages/more.py")
