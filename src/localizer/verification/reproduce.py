"""Reproduce a commit's outputs: compare the inputs, then rerun stage by stage until an output differs."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localizer.config import PARAMS, read_yaml
from localizer.files import file_sha256
from localizer.pipeline.dag import Pipeline
from localizer.pipeline.revisions import resolve_revision
from localizer.verification import clone
from localizer.verification.compare_outputs import Checkout, OutputComparison, compare_output
from localizer.verification.inputs import compare_and_pull_inputs, lock_path, sources

NOT_COMPARED = ("reports/validate/data_docs",)  # an output of older commits, with times in its pages
REQUIREMENTS = "requirements.lock"

Log = Callable[[str], None]


@dataclass(frozen=True)
class Rerun:
    """A stage that was rerun, and its outputs."""

    stage: str
    outputs: tuple[OutputComparison, ...]


@dataclass(frozen=True)
class Reproduction:
    """The result. digests: SHA-256 of the commit's lock files and parameters; device, threads: params of `train`."""

    commit: str
    digests: dict[str, str]
    device: Any
    threads: Any
    reruns: tuple[Rerun, ...]
    differences: tuple[str, ...]

    @property
    def same(self) -> bool:
        return not self.differences


def reproduce(revision: str, folder: Path, *, log: Log) -> Reproduction:
    """Rerun a commit's pipeline in a clone in `folder`, and compare it with the workspace around the working directory.

    Stops at the first stage that differs, since the next ones are made from it. ValueError if it can't be rerun.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo() as workspace:
            commit, top = resolve_revision(revision), Path(workspace.scm.root_dir)
            if commit is None:
                raise ValueError(
                    f"{revision}: no such commit; `git log --oneline` lists them; commit a new project first"
                )
            log(f"commit {commit[:12]}, in a clean clone")
            project = Path(workspace.root_dir).resolve().relative_to(top.resolve())
            root = clone.clone_commit(commit, top=top, folder=folder, project=project)
            with Repo(str(root)) as repo:
                return _reproduce(commit, repo, Checkout("workspace", workspace), log=log)
    except DvcException as error:
        raise ValueError(f"DVC: {error}") from None


def _reproduce(commit: str, repo: Any, workspace: Checkout, *, log: Log) -> Reproduction:
    pipeline = Pipeline(repo)
    if not pipeline.stages:
        raise ValueError(f"the commit {commit[:12]} has no stages in dvc.yaml: there is nothing to verify")
    names = (*sorted({lock_path(pipeline, stage) for stage in pipeline.stages}), str(PARAMS), REQUIREMENTS)
    digests = {name: file_sha256(pipeline.root / name) for name in names if (pipeline.root / name).is_file()}
    train = read_yaml(pipeline.root / PARAMS).get("train", {})
    device, threads = (train.get(name, "auto") for name in ("device", "threads"))
    differences = compare_and_pull_inputs(pipeline, commit=Checkout("commit", repo), workspace=workspace)
    reruns: list[Rerun] = []
    if not differences:
        log(f"inputs: {len(sources(pipeline))} files and folders, and all parameters, are the commit's and dvc.lock's")
        reruns = _rerun_stages(pipeline, workspace, Checkout("rerun", repo), log=log)
        differences = [text for output in reruns[-1].outputs for text in output.differences]
    return Reproduction(commit, digests, device, threads, tuple(reruns), tuple(differences))


def _rerun_stages(pipeline: Pipeline, workspace: Checkout, rerun: Checkout, *, log: Log) -> list[Rerun]:
    """Rerun the stages in order, up to the first whose outputs differ."""
    reruns = []
    for stage in pipeline.stages:
        started, label, lock = time.monotonic(), pipeline.label(stage), lock_path(pipeline, stage)
        clone.rerun_stage(f"{Path(stage.path).relative_to(pipeline.root).as_posix()}:{stage.name}", pipeline.root)
        outputs = tuple(
            compare_output(path, workspace=workspace, rerun=rerun, lock=lock, locked=out.hash_info.value)
            for path, out in ((pipeline.path(out), out) for out in stage.outs)
            if path not in NOT_COMPARED
        )
        reruns.append(Rerun(label, outputs))
        count = sum(not output.same for output in outputs)
        result = f"{count} of {len(outputs)} outputs differ" if count else f"same, {len(outputs)} outputs"
        log(f"{label}: {result} ({time.monotonic() - started:.0f} s)")
        if count:
            break
    return reruns
