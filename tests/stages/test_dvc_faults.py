"""A DVC remote that can't be used: an error in time, which says what was tried, and nothing is lost."""

import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest
from project import commit, run
from s3_faults import closed, expired, full, refusing, silent, swallowing
from s3_server import ENVIRONMENT, S3Server, s3_server
from test_dvc_remote import ATTEMPTS, SETTINGS

pytestmark = pytest.mark.server

LONGEST = 30  # seconds
IMAGES, ROOM = 20, 7
ANSWERING = ("expired token", "wrong keys")


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with pytest.MonkeyPatch.context() as patch, s3_server(tmp_path_factory.mktemp("s3")) as server:
        for name, value in (ENVIRONMENT | ATTEMPTS).items():
            patch.setenv(name, value)
        yield server


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy of DVC: a folder of images and a model."""
    folder = tmp_path_factory.mktemp("toy")
    (folder / "images").mkdir()
    for number in range(IMAGES):
        (folder / f"images/{number}.jpg").write_bytes(bytes([number]) * 1000)
    (folder / "model").write_bytes(b"weights")
    run(folder, "git", "init", "-q")
    run(folder, "dvc", "init", "-q")
    run(folder, "dvc", "add", "-q", "images", "model")
    commit(folder)
    return folder


@pytest.fixture
def project(toy: Path, tmp_path: Path) -> Path:
    """A copy of the toy, which has pushed nothing."""
    return Path(shutil.copytree(toy, tmp_path / "project"))


def clone(project: Path, name: str) -> Path:
    run(project.parent, "git", "clone", "-q", str(project), name)
    return project.parent / name


def use(project: Path, url: str, endpoint: str) -> None:
    """Write what the commands of the docs write, all at once."""
    settings = SETTINGS | {"url": url, "endpointurl": endpoint}
    lines = ["[core]", "analytics = false", "remote = team", "['remote \"team\"']"]
    lines += [f"{name} = {value}" for name, value in settings.items()]
    (project / ".dvc/config").write_text("\n".join(lines) + "\n", encoding="utf-8")


def files(project: Path) -> dict[str, bytes]:
    """Return the content of all files of a clone, its cache's too, but for git's, DVC's own and the settings."""
    found = {path.relative_to(project).as_posix(): path for path in project.rglob("*") if path.is_file()}
    own = (".git/", ".dvc/tmp/", ".dvc/config")
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith(own)}


def fault(name: str, folder: Path) -> AbstractContextManager[str]:
    faults = {"closed": closed, "swallowing": swallowing, "silent": silent, "expired token": expired}
    return (faults | {"wrong keys": partial(refusing, folder)})[name]()


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("closed", "Could not connect to the endpoint URL"),
        ("swallowing", "Connect timeout on endpoint URL"),
        ("silent", "Read timeout on endpoint URL"),
        ("expired token", "An error occurred (400) when calling the HeadObject operation"),
        ("wrong keys", "An error occurred (403) when calling the HeadObject operation"),
    ],
)
def test_a_server_that_cant_be_used_is_an_error_in_time_that_names_what_was_tried(
    s3: S3Server, project: Path, name: str, cause: str
) -> None:
    before, at_fault = files(project), f"s3://{s3.bucket}/{name.replace(' ', '-')}"
    with fault(name, project.parent) as address, ThreadPoolExecutor() as at_once:
        use(project, at_fault, address)
        began = time.monotonic()
        push = at_once.submit(run, project, "dvc", "push", "-v", status=255)
        check = at_once.submit(run, project, "dvc", "ls-url", "remote://team", status=255)
        told = [push.result(), check.result()]
        assert time.monotonic() - began < LONGEST
        assert f"'{at_fault}/files/md5'" in told[0]
        assert all(cause in one for one in told)
        assert name in ANSWERING or all(f'"{address}/{s3.bucket}' in one for one in told)
    assert files(project) == before
    use(project, at_fault, s3.endpoint)
    assert f"{IMAGES + 2} files pushed" in run(project, "dvc", "push")


@pytest.mark.parametrize("name", ["closed", *ANSWERING])
def test_a_pull_that_is_refused_names_where_and_leaves_the_clone_as_it_was(
    s3: S3Server, project: Path, name: str
) -> None:
    before = files(other := clone(project, "other"))
    with fault(name, project.parent) as address:
        use(other, f"s3://{s3.bucket}/pulled", address)
        began = time.monotonic()
        told = run(other, "dvc", "pull", status=1)
        assert time.monotonic() - began < LONGEST
    assert f"failed to connect to s3 ({s3.bucket}/pulled/files/md5) - " in told
    assert files(other) == before


def test_no_keys_at_all_are_told(s3: S3Server, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(project, f"s3://{s3.bucket}/keyless", s3.endpoint)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert "Unable to locate credentials" in run(project, "dvc", "push", status=255)


def test_a_full_bucket_is_told_for_each_object_and_a_later_push_completes(s3: S3Server, project: Path) -> None:
    before, all_objects = files(project), IMAGES + 2
    with full(s3, room=ROOM) as address:
        use(project, f"s3://{s3.bucket}/full", address)
        began = time.monotonic()
        told = run(project, "dvc", "push", status=1)
        assert time.monotonic() - began < LONGEST
    assert "(QuotaExceeded) when calling the PutObject operation: the bucket is full\n" in told
    assert f"failed to push data to the cloud - {all_objects - ROOM} files failed to upload" in told
    assert files(project) == before
    assert len([key for key in s3.objects() if key.startswith("full/")]) == ROOM
    use(project, f"s3://{s3.bucket}/full", s3.endpoint)
    run(project, "dvc", "push")
    commit(project)
    other = clone(project, "other")
    run(other, "dvc", "pull")
    assert files(other).items() >= before.items()
