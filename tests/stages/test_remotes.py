"""A result that is pushed, cloned and pulled is complete: nothing has to run again."""

from pathlib import Path

import pytest
import torch
from project import commit, copy_project, run, stages_run

from localizer.config import read_yaml
from localizer.predictor import Predictor

pytestmark = pytest.mark.pipeline

PULLED = ["prepare", "validate", "split", "train", "evaluate", "data/demo/dvc.yaml"]


@pytest.fixture(scope="module")
def pulled(tmp_path_factory: pytest.TempPathFactory, finished_project: Path, empty_store: Path) -> Path:
    """A clone of a tiny project whose results were pushed to a folder, after `dvc pull`."""
    folder = tmp_path_factory.mktemp("remote")
    project, clone = folder / "project", folder / "clone"
    copy_project(finished_project, project, {}, store=empty_store)
    run(project, "dvc", "remote", "add", "-d", "team", str(folder / "store"))
    run(project, "dvc", "remote", "modify", "team", "verify", "true")
    commit(project)
    run(project, "dvc", "push")
    run(folder, "git", "clone", "-q", str(project), str(clone))
    return clone


def test_after_a_pull_nothing_runs_and_the_model_is_whole(pulled: Path) -> None:
    run(pulled, "dvc", "pull", *PULLED)
    assert stages_run(run(pulled, "dvc", "repro")) == []
    assert Predictor.load(pulled / "models/localizer.safetensors", device=torch.device("cpu"))


def test_without_a_pull_everything_runs(pulled: Path) -> None:
    other = pulled.parent / "other"
    run(pulled.parent, "git", "clone", "-q", str(pulled), str(other))
    assert "demo" in stages_run(run(other, "dvc", "repro", "prepare"))


def test_a_changed_object_in_the_remote_is_named_and_made_again(pulled: Path) -> None:
    project, other = pulled.parent / "project", pulled.parent / "third"
    digest = read_yaml(project / "dvc.lock")["stages"]["train"]["outs"][0]
    assert digest["path"] == "models/localizer.json"
    stored = pulled.parent / "store/files/md5" / digest["md5"][:2] / digest["md5"][2:]
    whole = stored.read_bytes()
    mode = stored.stat().st_mode
    stored.chmod(0o644)
    stored.write_bytes(whole[:-2] + b" " + whole[-2:])
    stored.chmod(mode)  # as when a disk rots: DVC trusts what is write-protected, unless told to verify
    run(pulled.parent, "git", "clone", "-q", str(project), str(other))
    told = run(other, "dvc", "pull", "train", status=1)
    assert "Checkout failed for following targets:\nmodels/localizer.json\n" in told
    assert not (other / "models/localizer.json").exists()
    run(other, "dvc", "pull", *[name for name in PULLED if name != "train"])
    assert stages_run(run(other, "dvc", "repro")) == ["train"]
    assert (other / "models/localizer.json").read_bytes() == whole
