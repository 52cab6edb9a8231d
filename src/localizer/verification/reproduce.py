"""The proof itself: inputs first, then the data, then stage by stage until something differs."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localizer.config import PARAMS, read_yaml
from localizer.pipeline.dag import Pipeline
from localizer.verification import clone
from localizer.verification.compare_outputs import Compared, Tree, compare_output
from localizer.verification.dvc_data import changed_data, kept_by_dvc, not_committed
from localizer.verification.inputs import changed_in_workspace, folders, lock_of, sources, unlike_lock

LEFT_OUT = ("reports/validate/data_docs",)  # an output of older commits, with times in its pages
REQUIREMENTS = "requirements.lock"

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Rerun:
    """A stage that was run again, and its outputs."""

    stage: str
    outputs: tuple[Compared, ...]

    @property
    def differences(self) -> list[str]:
        return [text for output in self.outputs for text in output.differences]


@dataclass(frozen=True)
class Proof:
    """What was found. digests: sha256 of the commit's files; device: as its parameters ask for it."""

    commit: str
    digests: dict[str, str]
    device: Any
    reruns: tuple[Rerun, ...]
    differences: tuple[str, ...]

    @property
    def same(self) -> bool:
        return not self.differences


def prove(revision: str, place: Path, *, tell: Tell) -> Proof:
    """Rerun the commit's pipeline in a clone at `place`, and compare it with the workspace that this runs in.

    Stops at the first stage that differs, since what follows is made from it. ValueError says what can't be done.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    commit = clone.find_commit(revision)
    try:
        with Repo() as workspace:
            tell(f"commit {commit.digest[:12]}, in a clean clone")
            project = Path(workspace.root_dir).resolve().relative_to(commit.top.resolve())
            root = clone.make(commit, place, project=project)
            with Repo(str(root)) as repo:
                return _compared(commit.digest, Pipeline(repo), Tree("workspace", workspace), repo=repo, tell=tell)
    except DvcException as error:
        raise ValueError(f"DVC: {error}") from None


def _compared(commit: str, pipeline: Pipeline, workspace: Tree, *, repo: Any, tell: Tell) -> Proof:
    if not pipeline.stages:
        raise ValueError(f"the commit {commit[:12]} has no stages in dvc.yaml: there is nothing to verify")
    locks = sorted({lock_of(pipeline, stage) for stage in pipeline.stages})
    files = {str(name): pipeline.root / str(name) for name in (*locks, PARAMS, REQUIREMENTS)}
    digests = {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items() if file.is_file()}
    device = read_yaml(pipeline.root / PARAMS).get("train", {}).get("device", "auto")
    differences, reruns = _inputs(pipeline, workspace, repo=repo, tell=tell), []
    if not differences:
        reruns = _rerun_all(pipeline, workspace, Tree("rerun", repo), tell=tell)
        differences = reruns[-1].differences
    return Proof(commit, digests, device, tuple(reruns), tuple(differences))


def _inputs(pipeline: Pipeline, workspace: Tree, *, repo: Any, tell: Tell) -> list[str]:
    """Return what makes a rerun pointless; else the clone has its data."""
    committed, deps = Tree("commit", repo), folders(pipeline)
    kept = kept_by_dvc(repo, deps)
    found = [*changed_in_workspace(pipeline, committed, workspace), *unlike_lock(pipeline)]
    found += not_committed(pipeline, deps, kept)
    if found:
        return found
    if kept:
        targets = [Path(one.path).relative_to(pipeline.root).as_posix() for one in kept]
        clone.bring(targets, clone=pipeline.root, workspace=workspace.repo)
    found += changed_data(pipeline, deps, kept, commit=committed, workspace=workspace)
    if not found:
        tell(f"inputs: {len(sources(pipeline))} files and folders, and all parameters, are the commit's and dvc.lock's")
    return found


def _rerun_all(pipeline: Pipeline, workspace: Tree, rerun: Tree, *, tell: Tell) -> list[Rerun]:
    reruns = []
    for stage in pipeline.stages:
        started, label = time.monotonic(), pipeline.label(stage)
        clone.rerun(f"{Path(stage.path).relative_to(pipeline.root).as_posix()}:{stage.name}", pipeline.root)
        paths = {pipeline.path(out): out.hash_info.value for out in stage.outs if pipeline.path(out) not in LEFT_OUT}
        lock = lock_of(pipeline, stage)
        outputs = tuple(
            compare_output(path, workspace=workspace, rerun=rerun, lock=lock, locked=locked)
            for path, locked in paths.items()
        )
        reruns.append(Rerun(label, outputs))
        others = sum(not output.same for output in outputs)
        told = f"{others} of {len(outputs)} outputs differ" if others else f"same, {len(outputs)} outputs"
        tell(f"{label}: {told} ({time.monotonic() - started:.0f} s)")
        if others:
            break
    return reruns
