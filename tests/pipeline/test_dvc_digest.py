"""The digest of a folder of many files is DVC's own, computed by another process."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Never

import pytest
from dvc.repo import Repo

from localizer.pipeline import dag
from localizer.pipeline import dvc_digest as module
from localizer.pipeline.dvc_digest import compute_digest

PIPELINE = """
stages:
  count:
    cmd: ls raw > count.txt
    deps: [raw, one.txt]
    outs: [count.txt]
"""


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Give a stage that DVC has run on a folder of 4 files, which are many, and on a file."""
    monkeypatch.setattr(module, "MANY", 4)
    for name in ("raw/a.txt", "raw/b.txt", "raw/below/a.txt", "raw/below/c.txt", "one.txt"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)
    Path("dvc.yaml").write_text(PIPELINE)
    for command in (["init", "--no-scm", "-q"], ["config", "core.analytics", "false"], ["repro", "-q"]):
        subprocess.run([sys.executable, "-m", "dvc", *command], check=True)
    with Repo() as repo:
        (found,) = repo.index.stages
        yield found


def fail(self: object) -> Never:
    raise AssertionError("computed in this process")


def test_the_digest_is_dvcs_own(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {item.def_path: item.get_hash().value for item in stage.deps}
    assert {item.def_path: compute_digest(item) for item in stage.deps} == expected
    monkeypatch.setattr(type(stage.deps[0]), "get_hash", fail)
    folder, file = sorted(stage.deps, key=lambda item: item.def_path != "raw")
    assert compute_digest(folder) == expected["raw"]
    with pytest.raises(AssertionError, match="in this process"):  # the control: one file is not many
        compute_digest(file)


def test_a_stage_is_changed_when_a_file_of_many_is(stage: Any) -> None:
    assert not dag.is_changed(stage)
    Path("raw/below/c.txt").write_text("other")
    assert dag.is_changed(stage)


def test_dvcs_own_error_is_reported_where_it_fails(stage: Any) -> None:
    Path("dvc.yaml").write_text("stages: nonsense")
    (folder,) = (item for item in stage.deps if item.def_path == "raw")
    with pytest.raises(RuntimeError, match="DVC can't compute its digest"):
        compute_digest(folder)
