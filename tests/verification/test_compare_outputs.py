"""Digests of a checkout's files, which must be DVC's."""

import os
from functools import partial
from pathlib import Path

import pytest
from dvc.repo import Repo

from localizer.verification.compare_outputs import Checkout, compare_output

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value will soon:DeprecationWarning")  # in pygtrie


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """Return a DVC project with a folder of two files."""
    (tmp_path / "data/b").mkdir(parents=True)
    (tmp_path / "data/a.csv").write_text("1")
    (tmp_path / "data/b/c.csv").write_text("2")
    Repo.init(str(tmp_path), no_scm=True).close()
    (tmp_path / ".dvcignore").write_text("*.tmp\n")
    return Checkout("workspace", Repo(str(tmp_path)))


@pytest.mark.parametrize("path", ["data", "data/a.csv"])
def test_digests_are_those_of_dvc(checkout: Checkout, path: str) -> None:
    (stage,) = checkout.repo.add(str(checkout.root / path))
    assert checkout.digests(path)[0] == stage.outs[0].hash_info.value


def test_a_folder_has_a_digest_of_each_file_and_a_missing_path_has_none(checkout: Checkout) -> None:
    assert list(checkout.digests("data")[1]) == ["data/a.csv", "data/b/c.csv"]
    assert checkout.digests("nothing") == (None, {})


def test_dvcignore_applies(checkout: Checkout) -> None:
    before = checkout.digests("data")
    (checkout.root / "data/b/c.tmp").write_text("3")
    assert checkout.digests("data") == before


def test_a_change_that_keeps_time_and_size_is_seen(checkout: Checkout) -> None:
    file, before = checkout.root / "data/a.csv", checkout.digests("data")
    status = file.stat()
    file.write_text("3")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert checkout.digests("data") != before


def test_an_output_that_the_workspace_lacks_is_compared_with_the_lock_file(checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    empty = Checkout("workspace", Repo.init(str(tmp_path / "empty"), no_scm=True))
    md5 = checkout.digests("data")[0]
    compare = partial(compare_output, "data", workspace=empty, rerun=checkout, lock="dvc.lock")
    assert compare(locked=md5).same
    assert compare(locked="0").differences == (f"data: dvc.lock has md5 0, the rerun made {md5}",)
