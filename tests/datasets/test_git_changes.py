"""What changed since a commit, in a real git repository."""

import subprocess
from pathlib import Path

import pytest

from localizer.datasets.versions.git_changes import changed_datasets, dataset_at, merge_base

CARD = (
    "title: {name}\nformat: csv\nannotations: boxes.csv\nimages: images\ncolumns: {{image: image, box: [a, b, c, d]}}\n"
)
BOXES = "image,a,b,c,d\na.jpg,1,1,9,9\n"


def git(*arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *identity, *arguments], check=True, capture_output=True, text=True).stdout.strip()


def make(name: str, *, boxes: str = BOXES) -> Path:
    raw = Path("data") / name / "raw"
    (raw / "images").mkdir(parents=True)
    (raw / "boxes.csv").write_text(boxes)
    (raw.parent / "dataset.yaml").write_text(CARD.format(name=name))
    return raw.parent


def commit() -> str:
    git("add", "--all")
    git("commit", "--quiet", "--message", "all", "--allow-empty")
    return git("rev-parse", "HEAD")


@pytest.fixture
def first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the first commit, of the sets `one`, `two` and `three`."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    git("init", "--quiet", "--initial-branch", "main")
    for name in ("one", "two", "three"):
        make(name)
    return commit()


def names(since: str) -> list[str]:
    return [folder.as_posix() for folder in changed_datasets(since)]


def test_without_a_change_no_set_is_changed(first: str) -> None:
    assert names(first) == []


def test_a_change_is_seen_before_it_is_staged_when_staged_and_when_committed(first: str) -> None:
    Path("data/two/raw/boxes.csv").write_text(BOXES + "b.jpg,1,1,9,9\n")
    assert names(first) == ["data/two"]
    git("add", "--all")
    assert names(first) == ["data/two"]
    assert names(commit()) == []
    assert names(first) == ["data/two"]


def test_a_change_of_only_the_config_changes_a_set(first: str) -> None:
    Path("data/three/dataset.yaml").write_text(CARD.format(name="another title"))
    assert names("HEAD") == ["data/three"]


def test_a_new_set_is_seen_though_git_does_not_know_it_yet(first: str) -> None:
    make("new set")
    assert names(first) == ["data/new set"]


def test_what_git_ignores_changes_nothing(first: str) -> None:
    Path("data/one/.gitignore").write_text("/raw/images\n")
    since = commit()
    Path("data/one/raw/images/a.jpg").write_text("x")
    assert names(since) == []


def test_a_set_that_was_deleted_is_left_out(first: str) -> None:
    git("rm", "-r", "--quiet", "data/one")
    Path("data/two/raw/boxes.csv").unlink()
    assert names(first) == ["data/two"]


def test_files_outside_the_sets_change_none(first: str) -> None:
    Path("data/README.md").write_text("x")
    Path("README.md").write_text("x")
    Path("data/no-config").mkdir()
    Path("data/no-config/x.csv").write_text("x")
    assert names(first) == []


def test_names_that_git_would_quote_are_seen(first: str) -> None:
    make("caf\u00e9")
    assert names(first) == ["data/caf\u00e9"]


def test_only_what_changed_since_the_branches_parted_counts(first: str) -> None:
    git("switch", "--quiet", "--create", "branch")
    Path("data/one/raw/boxes.csv").write_text(BOXES * 2)
    commit()
    git("switch", "--quiet", "main")
    Path("data/two/raw/boxes.csv").write_text(BOXES * 2)
    commit()
    git("switch", "--quiet", "branch")
    assert merge_base("main") == first
    assert names("main") == ["data/one"]


def test_a_project_below_the_root_of_its_repository_is_seen(first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("below").mkdir()
    monkeypatch.chdir("below")
    folder = make("deep")
    since = commit()
    (folder / "raw" / "boxes.csv").write_text(BOXES * 2)
    Path("../data/one/raw/boxes.csv").write_text(BOXES * 2)
    assert names(since) == ["data/deep"]
    old = dataset_at(since, folder, into=Path("before"))
    assert old
    assert old.annotations.read_text() == BOXES


@pytest.mark.parametrize("revision", ["nowhere", "", "0" * 40])
def test_an_unknown_revision_is_reported(first: str, revision: str) -> None:
    with pytest.raises(ValueError, match=r"^git merge-base"):
        changed_datasets(revision)


def test_a_folder_without_a_repository_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(ValueError, match="not a git repository"):
        changed_datasets("HEAD")


def test_a_machine_without_git_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="git was not found"):
        changed_datasets("HEAD")


def test_the_earlier_set_is_as_the_commit_had_it(first: str) -> None:
    folder = Path("data/one")
    (folder / "raw" / "boxes.csv").write_text(BOXES * 2)
    (folder / "dataset.yaml").write_text(CARD.format(name="another title"))
    old = dataset_at(first, folder, into=Path("before"))
    assert old
    assert (old.config.title, old.images) == ("one", None)
    assert old.annotations == Path("before/data/one/raw/boxes.csv")
    assert old.annotations.read_text() == BOXES


def test_the_earlier_set_may_have_a_folder_of_annotations(first: str) -> None:
    xml = Path("data/xml")
    (xml / "raw" / "boxes").mkdir(parents=True)
    (xml / "dataset.yaml").write_text("title: t\nformat: yolo\nannotations: boxes\nimages: images\n")
    (xml / "raw" / "boxes" / "classes.txt").write_text("cat\n")
    (xml / "raw" / "boxes" / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    old = dataset_at(commit(), xml, into=Path("before"))
    assert old
    assert sorted(path.name for path in old.annotations.iterdir()) == ["a.txt", "classes.txt"]


def test_a_new_set_has_no_earlier_version(first: str) -> None:
    assert dataset_at(first, make("new"), into=Path("before")) is None


def test_a_set_whose_annotations_git_does_not_hold_has_no_earlier_version(first: str) -> None:
    folder = make("large")
    (folder / ".gitignore").write_text("/raw\n")
    assert dataset_at(commit(), folder, into=Path("before")) is None


@pytest.mark.parametrize(("file", "text"), [("dataset.yaml", "title: [\n"), ("raw/boxes.csv", "image,a\na.jpg,1\n")])
def test_a_set_that_was_broken_has_no_earlier_version(first: str, file: str, text: str) -> None:
    broken = Path("data/one") / file
    sound = broken.read_text()
    broken.write_text(text)
    since = commit()
    broken.write_text(sound)
    assert dataset_at(since, Path("data/one"), into=Path("before")) is None
