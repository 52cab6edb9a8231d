"""Check the inputs before a rerun: the workspace, the commit and its lock files must have the same.

Outputs that were made from other inputs can't be compared. An input is a stage's definition, a parameter, or a source:
a file or folder that stages read and none of them makes, under git or in a .dvc file.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any

from localizer.config import flatten, read_yaml
from localizer.pipeline.dag import Pipeline
from localizer.verification import clone
from localizer.verification.compare_outputs import Checkout, compare_files
from localizer.verification.file_diff import changed_values

DEFINITION = ["stages", "vars"]  # the keys of a dvc.yaml on which outputs depend


def compare_and_pull_inputs(pipeline: Pipeline, *, commit: Checkout, workspace: Checkout) -> list[str]:
    """Return how the inputs differ; if those in git do not, pull the data that .dvc files track, and compare it, too.

    pipeline: of the clone, before any data is fetched, so that all that it has is under git.
    """
    outs = [out for stage in commit.repo.index.stages if not stage.cmd for out in stage.outs]  # of .dvc files
    pairs = [(dep, out) for dep in sources(pipeline) for out in outs if _is_in(dep, out) or _is_in(out, dep)]
    tracked = list(dict.fromkeys(dep for dep, _ in pairs))
    in_git = [dep for dep in sources(pipeline) if dep not in tracked]
    differences = [
        *_changed_definitions(pipeline, commit=commit, workspace=workspace),
        *_outdated_locks(pipeline),
        *_changed_sources(pipeline, in_git, commit=commit, workspace=workspace),
    ]
    if tracked and not differences:
        targets = sorted({Path(out.stage.path).relative_to(pipeline.root).as_posix() for _, out in pairs})
        clone.pull(targets, clone=pipeline.root, workspace=workspace.repo)
        missing = [path for _, out in pairs if not (workspace.root / (path := pipeline.path(out))).exists()]
        differences += _changed_sources(pipeline, tracked, commit=commit, workspace=workspace, not_pulled=missing)
    return differences


def sources(pipeline: Pipeline) -> list[Any]:
    """Return the dependencies, other than parameters, that no stage makes."""
    outs = [out for stage in pipeline.stages for out in stage.outs]
    deps = [dep for stage in pipeline.stages for dep in stage.deps if dep not in _params(stage)]
    return [dep for dep in deps if not any(_is_in(dep, out) for out in outs)]


def lock_path(pipeline: Pipeline, stage: Any) -> str:
    """Return the path of the lock file that contains the stage's digests."""
    return Path(stage.path).with_suffix(".lock").relative_to(pipeline.root).as_posix()


def _changed_definitions(pipeline: Pipeline, *, commit: Checkout, workspace: Checkout) -> Iterator[str]:
    """Yield which stages and used parameters the workspace has changed."""
    keys: dict[str, list[str]] = {}
    for stage in pipeline.stages:
        keys[Path(stage.path).relative_to(pipeline.root).as_posix()] = DEFINITION
        for dep in _params(stage):
            keys[pipeline.path(dep)] = [*keys.get(pipeline.path(dep), []), *(dep.params or [""])]
    for path, used in keys.items():
        if not (workspace.root / path).is_file():
            yield f"{path}: missing in the workspace"
            continue
        old, new = (_selected(read_yaml(checkout.root / path), used) for checkout in (commit, workspace))
        yield from (f"{path}: {change} (commit -> workspace)" for change in changed_values(old, new))


def _selected(values: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """Return the values at or below any of the dotted keys, "" being all, without descriptions."""
    return {
        name: value
        for name, value in flatten(values).items()
        if not name.endswith(".desc") and any(not key or f"{name}.".startswith(f"{key}.") for key in keys)
    }


def _outdated_locks(pipeline: Pipeline) -> Iterator[str]:
    """Yield where a lock file doesn't fit the commit: a stage was not rerun, or its lock file not committed."""
    made = {out.fs_path: out.hash_info.value for stage in pipeline.stages for out in stage.outs if out.hash_info}
    for stage in pipeline.stages:
        lock, label = lock_path(pipeline, stage), pipeline.label(stage)
        if not all(out.hash_info for out in stage.outs):
            yield f"{lock}: the stage {label} is missing or incomplete"
            continue
        if stage.cmd_changed:
            yield f"{lock}: the stage {label} has another command than in the commit"
        for dep in _params(stage):
            for change in changed_values(dep.hash_info.value or {}, dep.read_params()):
                yield f"{pipeline.path(dep)}: {change} ({lock} -> commit)"
        for dep in stage.deps:
            if dep.fs_path in made and dep.hash_info.value != made[dep.fs_path]:
                yield f"{pipeline.path(dep)}: {lock} has {label} made from another version of it"


def _changed_sources(
    pipeline: Pipeline, deps: Sequence[Any], *, commit: Checkout, workspace: Checkout, not_pulled: Sequence[str] = ()
) -> Iterator[str]:
    """Yield which sources differ between commit, workspace and lock files.

    not_pulled: paths that the workspace lacks, and that are compared with the lock files only.
    """
    for path in dict.fromkeys(map(pipeline.path, deps)):
        actual, files = commit.digests(path)
        if actual is None:
            yield f"{path}: missing in the commit: neither under git, nor in a .dvc file, nor made by a stage"
            continue
        known = {file: md5 for file, md5 in files.items() if not any(map(PurePath(file).is_relative_to, not_pulled))}
        yield from compare_files(commit, workspace, known, workspace.digests(path)[1])
        locked = [dep for dep in deps if pipeline.path(dep) == path and any(out.hash_info for out in dep.stage.outs)]
        if outdated := next((dep for dep in locked if dep.hash_info.value != actual), None):
            lock, label = lock_path(pipeline, outdated.stage), pipeline.label(outdated.stage)
            yield f"{path}: {lock} has md5 {outdated.hash_info.value} for {label}, the commit has {actual}"


def _params(stage: Any) -> list[Any]:
    from dvc.dependency import ParamsDependency

    return [dep for dep in stage.deps if isinstance(dep, ParamsDependency)]


def _is_in(item: Any, folder: Any) -> bool:
    return PurePath(item.fs_path).is_relative_to(folder.fs_path)
