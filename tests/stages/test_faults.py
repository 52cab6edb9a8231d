"""Real faults around training: a stage that is killed, refused, out of room or elsewhere leaves nothing by halves."""

import hashlib
import os
import random
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from project import STAGES, commit, copy_checkout, run, set_params
from stage_forks import Job, Outcome, forks
from test_contract import PIPELINE, written

pytestmark = pytest.mark.pipeline

TINY: dict[str, dict[str, Any]] = {
    "prepare": {"dataset": "mine"},
    "demo": {"scenes": 40, "seed": 0},
    "split": {"train": 0.6, "validation": 0.1, "calibration": 0.1, "test": 0.2},
    "train": {"epochs": 1, "min_steps": 0, "image_size": 32, "batch_size": 8},
}
ODD = "Zoë_☃.jpg"  # the name of an image
AROUND = ["prepare", "validate", "split", "evaluate"]  # the stages around training
FIRST_OUT = {
    "prepare": "tables/annotations.csv",
    "validate": "reports/validate/findings.csv",
    "split": "reports/split/box_size.csv",
    "evaluate": "reports/evaluate/predictions.csv",
}
EARLIER = """
import time

now, now_ns = time.time, time.time_ns
time.time = lambda: now() - 3600
time.time_ns = lambda: now_ns() - 3600 * 10**9
"""

Doer = Callable[[Job], Outcome]
Outs = dict[str, object]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """A tiny project whose tree is dirty, with a data set that holds an image of an odd name."""
    folder = tmp_path_factory.mktemp("project")
    copy_checkout(folder)
    run(folder, "git", "init", "-q")
    commit(folder)
    shutil.copy(empty_store, folder / "mlflow.db")
    set_params(folder, TINY)
    run(folder, "env", "PYTHONPATH=src", "python", "-m", "localizer.datasets.synthetic")
    (folder / "data/demo").rename(folder / "data/mine")
    raw = folder / "data/mine/raw"
    image = min((raw / "images").iterdir())
    image.rename(image.with_name(ODD))
    table = (raw / "annotations.csv").read_text(encoding="utf-8")
    (raw / "annotations.csv").write_text(table.replace(image.name, ODD), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def do(project: Path) -> Iterator[Doer]:
    with forks(project) as doer:
        yield doer


@pytest.fixture(scope="module")
def whole(project: Path, do: Doer) -> dict[str, Outcome]:
    """The stages' outcomes where nothing happens."""
    done = {stage: do(Job(stage)) for stage in STAGES}
    assert {stage: one.printed for stage, one in done.items() if one.status} == {}
    return done


@pytest.fixture(scope="module")
def outs(project: Path, whole: dict[str, Outcome]) -> dict[str, Outs]:
    """What the stages make where nothing happens, by stage."""
    return {stage: outs_of(project, stage) for stage in STAGES}


def outs_of(project: Path, stage: str) -> Outs:
    """Return the outputs of a stage that are there: digests, in a folder by name."""
    found: Outs = {}
    for name in written(PIPELINE[stage]):
        place = project / name
        if place.is_dir():
            files = [path for path in place.rglob("*") if path.is_file()]
            digests = {path.relative_to(place).as_posix(): digest(path) for path in files}
            found[name] = digests
        elif place.exists():
            found[name] = digest(place)
    return found


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def remove_outs(project: Path, stage: str) -> None:
    """Remove a stage's outputs, as dvc does before it runs."""
    for name in written(PIPELINE[stage]):
        shutil.rmtree(project / name) if (project / name).is_dir() else (project / name).unlink(missing_ok=True)


def deaths(stage: str, whole: Outcome, *, seconds: float) -> list[Job]:
    """Return jobs that end before each rename, in half of each file of its own, and at random times."""
    renames = [at for at, change in enumerate(whole.changes) if change.startswith("os.rename")]
    files = [at for at, change in enumerate(whole.changes) if re.fullmatch(r"open \S+\.part", change)]
    pages = [at for at, change in enumerate(whole.changes) if change.endswith(".html")][::5]
    times = random.Random(0)
    return [
        *(Job(stage, at=at) for at in renames),
        *(Job(stage, at=at, end="half") for at in files + pages),
        *(Job(stage, after_s=times.uniform(0.1, seconds)) for _ in range(3)),
    ]


@pytest.mark.parametrize("stage", AROUND)
def test_a_stage_killed_at_any_moment_leaves_each_output_whole_or_not_there_and_its_rerun_is_identical(
    project: Path, do: Doer, whole: dict[str, Outcome], outs: dict[str, Outs], stage: str
) -> None:
    jobs = deaths(stage, whole[stage], seconds=1.5)
    for number, job in enumerate(jobs):
        if number % 2:
            remove_outs(project, stage)
        outcome = do(job)
        assert outcome.status < 0 or job.after_s, (job, outcome)
        left = outs_of(project, stage)
        assert left.items() <= outs[stage].items(), job
    assert do(Job(stage)).status == 0
    assert outs_of(project, stage) == outs[stage]
    assert not [path for folder in ("tables", "models", "reports") for path in (project / folder).rglob("*.part")]


def test_the_kill_in_half_of_a_file_finds_a_stage_that_writes_in_place(
    project: Path, whole: dict[str, Outcome], outs: dict[str, Outs]
) -> None:
    source = project / "src/localizer/files.py"
    text = source.read_text(encoding="utf-8")
    source.write_text(text.replace("path.with_name(path.name + PART)", "path", 1), encoding="utf-8")
    with forks(project) as do_in_place:
        changes = do_in_place(Job("prepare")).changes
        do_in_place(Job("prepare", at=changes.index("open tables/annotations.csv"), end="half"))
    source.write_text(text, encoding="utf-8")
    assert not outs_of(project, "prepare").items() <= outs["prepare"].items()


@pytest.mark.parametrize("stage", AROUND)
def test_a_disk_without_room_is_an_error_with_the_file_and_leaves_no_half(
    project: Path, do: Doer, whole: dict[str, Outcome], outs: dict[str, Outs], stage: str
) -> None:
    at = whole[stage].changes.index(f"open {FIRST_OUT[stage]}.part")
    remove_outs(project, stage)
    outcome = do(Job(stage, at=at, end="full"))
    assert outcome.status == 1
    assert f"{stage}: [Errno 27] File too large: '{FIRST_OUT[stage]}'" in outcome.printed
    assert "Traceback" not in outcome.printed
    assert FIRST_OUT[stage] not in outs_of(project, stage)
    assert do(Job(stage)).status == 0
    assert outs_of(project, stage) == outs[stage]


def test_a_folder_that_is_read_only_is_an_error_with_the_file(project: Path, outs: dict[str, Outs]) -> None:
    with forks(project, drops=True) as do_as_anyone:
        for stage in AROUND:
            folder = (project / FIRST_OUT[stage]).parent
            mode = folder.stat().st_mode
            folder.chmod(0o555)
            outcome = do_as_anyone(Job(stage))
            folder.chmod(mode)
            assert outcome.status == 1
            assert re.search(
                rf"^{stage}: \[Errno 13\] Permission denied: '{folder.relative_to(project)}/", outcome.printed
            )
            assert "Traceback" not in outcome.printed
            assert do_as_anyone(Job(stage)).status == 0
            assert outs_of(project, stage) == outs[stage]


@pytest.fixture
def elsewhere(project: Path, tmp_path: Path) -> dict[str, str]:
    """Another environment: the clock an hour back, so that inputs are newer than now; its zone; no locale; no git."""
    (tmp_path / "sitecustomize.py").write_text(EARLIER)
    for path in project.glob("data/mine/raw/**/*"):
        os.utime(path, (time.time(), time.time()))
    return {"PYTHONPATH": f"{tmp_path}:src", "TZ": "Pacific/Auckland", "LC_ALL": "C", "PATH": str(tmp_path)}


def test_other_surroundings_change_no_byte_and_another_seed_does(
    project: Path, outs: dict[str, Outs], elsewhere: dict[str, str]
) -> None:
    here = last_run(project, "prepare")
    with forks(project, drops=False, **elsewhere) as do_elsewhere:
        done = {stage: do_elsewhere(Job(stage)) for stage in STAGES}
        assert {stage: one.printed for stage, one in done.items() if one.status} == {}
        assert {stage: outs_of(project, stage) for stage in STAGES} == outs
        text = (project / "params.yaml").read_text(encoding="utf-8")
        set_params(project, {"split": {"seed": 1}})
        do_elsewhere(Job("split"))
        (project / "params.yaml").write_text(text, encoding="utf-8")
        assert outs_of(project, "split") != outs["split"]
        do_elsewhere(Job("split"))
    assert here.data.tags["git.dirty"] == "true"
    there = last_run(project, "prepare")
    assert (there.data.tags["git.commit"], there.data.tags["git.dirty"]) == ("unknown", "unknown")
    assert time.time() - there.info.start_time / 1000 > 3500


def last_run(project: Path, stage: str) -> Run:
    """Return the run of a stage that was written last."""
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    (experiment,) = [one for one in client.search_experiments() if one.name == "localizer"]
    found = client.search_runs([experiment.experiment_id], f"tags.stage = '{stage}'")
    return max(found, key=lambda one: int(one.data.tags["process"].rpartition(":")[2]))  # the tick of its start


def test_an_odd_name_of_an_image_goes_through_where_there_is_no_locale(project: Path, outs: dict[str, Outs]) -> None:
    for stage in STAGES:
        nowhere = ("LC_ALL=C", "PYTHONUTF8=0", "PYTHONCOERCECLOCALE=0", "OMP_NUM_THREADS=1")
        run(project, "env", *nowhere, "sh", "-c", PIPELINE[stage]["cmd"])
    assert {stage: outs_of(project, stage) for stage in STAGES} == outs
    assert ODD in (project / "tables/split.csv").read_text(encoding="utf-8")
