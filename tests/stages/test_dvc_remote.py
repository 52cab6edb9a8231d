"""A DVC remote on S3 that a team shares: what is pushed comes back whole, and what goes wrong is told."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from mlflow import MlflowClient
from project import ROOT, TINY, commit, make_project, run, stages_run
from s3_server import ENVIRONMENT, KEY, SECRET, S3Server, s3_server
from servers import free_port, mlflow_server

from localizer.config import read_yaml

pytestmark = pytest.mark.server

SETTINGS = {"verify": "true", "connect_timeout": "3", "read_timeout": "3"}
ATTEMPTS = {"AWS_MAX_ATTEMPTS": "1"}
PULLED = ["prepare", "validate", "split", "train", "evaluate", "data/demo/dvc.yaml"]
FOLDER, STORE = "localizer", Path(".dvc/cache")
MEND = """
import sys
from dvc.repo import Repo
here, team = Repo().cache.local, Repo().cloud.get_remote_odb("team")
for md5 in (name.replace("/", "") for name in sys.argv[1:]):
    team.fs.put_file(here.oid_to_path(md5), team.oid_to_path(md5))
"""
MODEL, LISTED = "models/localizer.json", "data/demo/raw"


class Team(NamedTuple):
    """Two servers, and a project whose results both have."""

    s3: S3Server
    mlflow: str
    project: Path

    def clone(self, name: str) -> Path:
        """Return a new clone of the project, in which nothing has been pulled."""
        run(self.project.parent, "git", "clone", "-q", str(self.project), name)
        return self.project.parent / name


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    folder = tmp_path_factory.mktemp("team")
    project = folder / "project"
    make_project(project, TINY | {"train": TINY["train"] | {"depth": 18}})
    with pytest.MonkeyPatch.context() as patch, s3_server(folder) as s3, mlflow_server(folder, free_port()) as mlflow:
        for name, value in (ENVIRONMENT | ATTEMPTS).items():
            patch.setenv(name, value)
        add_remote(project, "team", f"s3://{s3.bucket}/{FOLDER}", s3.endpoint, "-d")
        run(project, "dvc", "repro", server=mlflow)
        run(project, "localizer", "sync", server=mlflow)
        commit(project)
        run(project, "dvc", "push")
        yield Team(s3, mlflow, project)


def add_remote(project: Path, name: str, url: str, endpoint: str, *options: str) -> None:
    """Name a remote with the settings of the docs."""
    run(project, "dvc", "remote", "add", *options, name, url)
    where = [one for one in options if one == "--local"]
    for key, value in (SETTINGS | {"endpointurl": endpoint}).items():
        run(project, "dvc", "remote", "modify", *where, name, key, value)


def key_of(project: Path, path: str) -> str:
    """Return the key of the object that holds a file, or of one that lists a folder's files."""
    stages = [*read_yaml(project / "dvc.lock")["stages"].values()]
    stages += read_yaml(project / "data/demo/dvc.lock")["stages"].values()
    (md5,) = [out["md5"] for stage in stages for out in stage["outs"] if out["path"] == path]
    return stored(md5)


def stored(md5: str) -> str:
    return f"{FOLDER}/files/md5/{md5[:2]}/{md5[2:]}"


def cached(project: Path, key: str) -> Path:
    """Return where a clone keeps the object of a key."""
    return project / STORE / key.removeprefix(f"{FOLDER}/")


def listing(project: Path) -> list[dict[str, str]]:
    return list(json.loads(cached(project, key_of(project, LISTED)).read_text()))


def change(team: Team, key: str, content: bytes) -> None:
    team.s3.client().put_object(Bucket=team.s3.bucket, Key=key, Body=content)


def mend(team: Team, *keys: str) -> None:
    """Put back what a good clone has, as the docs do it."""
    run(team.project, "python", "-c", MEND, *["/".join(key.split("/")[-2:]) for key in keys])


def broken(clone: Path) -> list[Path]:
    """Return what lies in the cache under a digest that isn't its own."""
    objects = [path for path in (clone / STORE / "files/md5").glob("*/*") if path.is_file()]
    return [
        path
        for path in objects
        if hashlib.md5(path.read_bytes()).hexdigest() != (path.parent.name + path.name).removesuffix(".dir")
    ]


def test_the_page_sets_what_is_tested_here() -> None:
    page = (ROOT / "docs/how-to/share.md").read_text(encoding="utf-8")
    for key, value in SETTINGS.items():
        assert f"dvc remote modify team {key} {value}" in page
    for name, value in ATTEMPTS.items():
        assert f"export {name}={value}" in page
    assert f"dvc pull {' '.join(PULLED)}" in page
    assert MEND in page


def test_a_clone_with_keys_of_its_own_pulls_runs_nothing_and_finds_the_runs_on_the_server(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = team.clone("whole")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for key, value in {"access_key_id": KEY, "secret_access_key": SECRET}.items():
        run(clone, "dvc", "remote", "modify", "--local", "team", key, value)
    run(clone, "dvc", "pull", *PULLED)
    assert stages_run(run(clone, "dvc", "repro")) == []
    assert run(clone, "git", "status", "--short") == ""
    told = run(clone, "localizer", "trace", "models/localizer.safetensors", "--json", server=team.mlflow)
    assert all(one in told for one in runs_of(team.mlflow, "prepare", "validate", "split", "train", "evaluate"))


def runs_of(address: str, *stages: str) -> list[str]:
    """Return the id of each stage's run; there is one of each."""
    client = MlflowClient(address)
    experiment = client.get_experiment_by_name("localizer")
    assert experiment
    found = client.search_runs([experiment.experiment_id])
    by_stage = [(one.data.tags.get("stage"), one.info.run_id) for one in found]
    assert sorted(str(stage) for stage, _ in by_stage if stage) == sorted(stages)
    return [run_id for stage, run_id in by_stage if stage]


def test_a_pull_of_everything_ends_with_an_error_for_the_sets_that_nobody_has_used(team: Team) -> None:
    clone = team.clone("everything")
    told = run(clone, "dvc", "pull", status=1)
    failed = told.partition("Checkout failed for following targets:\n")[2].splitlines()[:2]
    assert sorted(failed) == ["data/bccd/raw", "data/raccoon/raw"]
    assert stages_run(run(clone, "dvc", "repro")) == []


@pytest.mark.parametrize("damage", ["a flipped bit", "a byte more"])
def test_a_changed_object_is_named_not_taken_and_can_be_mended(team: Team, damage: str) -> None:
    image = listing(team.project)[-1]
    keys = [key_of(team.project, MODEL), stored(image["md5"])]
    for key in keys:
        whole = cached(team.project, key).read_bytes()
        change(team, key, whole[:9] + bytes([whole[9] ^ 1]) + whole[10:] if "bit" in damage else whole + b" ")
    clone = team.clone(damage)
    told = run(clone, "dvc", "pull", *PULLED, status=1)
    failed = told.partition("Checkout failed for following targets:\n")[2].splitlines()[:2]
    assert sorted(failed) == [LISTED, MODEL]
    told = run(clone, "dvc", "data", "status", "--granular").partition("Not in cache:")[2].partition("\n\n")[0]
    assert [line.strip() for line in told.splitlines()[2:]] == [f"{LISTED}/{image['relpath']}", MODEL]
    assert not (clone / MODEL).exists()
    assert not (clone / LISTED).exists()
    assert broken(clone) == []
    told = run(clone, "dvc", "pull", "-v", "train", status=1)
    assert f"corrupted cache file '{cached(clone, keys[0])}'" in told
    mend(team, *keys)
    run(clone, "dvc", "pull", *PULLED)
    assert stages_run(run(clone, "dvc", "repro")) == []


def test_without_verify_a_changed_object_would_be_taken(team: Team) -> None:
    key = key_of(team.project, MODEL)
    change(team, key, cached(team.project, key).read_bytes() + b" ")
    clone = team.clone("trusting")
    run(clone, "dvc", "remote", "modify", "--local", "team", "verify", "false")
    run(clone, "dvc", "pull", "train")
    assert broken(clone) == [cached(clone, key)]
    mend(team, key)


def test_a_changed_list_of_a_folder_is_told_by_status(team: Team) -> None:
    key, names = key_of(team.project, LISTED), listing(team.project)
    names[0]["relpath"] += ".txt"
    change(team, key, json.dumps(names).encode())
    clone = team.clone("listed")
    run(clone, "dvc", "pull", *PULLED)
    assert LISTED in run(clone, "dvc", "status", *PULLED)
    assert broken(clone) == []
    mend(team, key)
