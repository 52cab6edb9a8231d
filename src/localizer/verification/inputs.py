"""What the pipeline's outputs depend on: is it the same in the workspace, the commit, and the commit's lock files?"""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any

from localizer.config import flatten, read_yaml
from localizer.pipeline.dag import Pipeline, current_digests
from localizer.verification.compare_outputs import Tree, differing
from localizer.verification.file_diff import values_changed

UNREAD = ("plots", "artifacts")  # of a dvc.yaml: no stage's outputs depend on them


def changed_in_workspace(pipeline: Pipeline, commit: Tree, workspace: Tree) -> Iterator[str]:
    """Yield what the workspace has otherwise than the commit: files, parameters, and stages.

    pipeline: of the commit's clone, before data is brought there, so that what it has is under git.
    """
    files = {path: md5 for name in sources(pipeline) for path, md5 in commit.digests(name).items()}
    here = {path: md5 for name in files for path, md5 in workspace.digests(name).items()}
    yield from differing(commit, workspace, (files, here))
    for name in sorted({Path(stage.path).relative_to(pipeline.root).as_posix() for stage in pipeline.stages}):
        yield from _values_changed(name, commit, workspace, keys=[""])
    for name, keys in _params(pipeline).items():
        if name not in files:
            yield from _values_changed(name, commit, workspace, keys=keys)


def unlike_lock(pipeline: Pipeline) -> Iterator[str]:
    """Yield what in the commit's lock files doesn't fit the commit: it was not rerun, or its lock not committed."""
    for stage in pipeline.stages:
        lock, label = lock_of(pipeline, stage), pipeline.label(stage)
        if not all(out.hash_info for out in stage.outs):
            yield f"{lock}: nothing, or not all, is said of the stage {label}"
            continue
        if stage.cmd_changed:
            yield f"{lock}: the stage {label} was run with another command than the commit's"
        for dep in _params_of(stage):
            for change in values_changed(dep.hash_info.value or {}, dep.read_params()):
                yield f"{pipeline.path(dep)}: {change} ({lock} -> commit)"
    yield from _made_from_others(pipeline)
    yield from unlike_locked(pipeline, [dep for dep in _sources(pipeline) if Path(dep.fs_path).is_file()])


def unlike_locked(pipeline: Pipeline, deps: Sequence[Any]) -> Iterator[str]:
    """Yield which of the dependencies aren't those that the commit's lock files name, each path once."""
    found: dict[str, str] = {}
    now = current_digests(deps)
    for dep in deps:
        path, lock = pipeline.path(dep), lock_of(pipeline, dep.stage)
        if dep.hash_info.value != now.get(dep) and any(out.hash_info for out in dep.stage.outs):
            told = f"{path}: {lock} has md5 {dep.hash_info.value} for {pipeline.label(dep.stage)}"
            found.setdefault(path, f"{told}, the commit's is {now.get(dep)}")
    yield from found.values()


def sources(pipeline: Pipeline) -> list[str]:
    """Return the paths of all that the stages read and none of them makes."""
    return list(dict.fromkeys(pipeline.path(dep) for dep in _sources(pipeline)))


def folders(pipeline: Pipeline) -> list[Any]:
    """Return the dependencies that no stage makes and that aren't single files: folders, and what isn't there yet."""
    return [dep for dep in _sources(pipeline) if not Path(dep.fs_path).is_file()]


def lock_of(pipeline: Pipeline, stage: Any) -> str:
    """Return the path of the lock file that the stage's digests are in."""
    return Path(stage.path).with_suffix(".lock").relative_to(pipeline.root).as_posix()


def _sources(pipeline: Pipeline) -> list[Any]:
    outs = [PurePath(out.fs_path) for stage in pipeline.stages for out in stage.outs]
    deps = [dep for stage in pipeline.stages for dep in stage.deps if dep not in _params_of(stage)]
    return [dep for dep in deps if not any(PurePath(dep.fs_path).is_relative_to(out) for out in outs)]


def _made_from_others(pipeline: Pipeline) -> Iterator[str]:
    """Yield which stages were run on other outputs than those that the lock files have of the stages before."""
    made = {out.fs_path: out for stage in pipeline.stages for out in stage.outs}
    for stage in pipeline.stages:
        for dep in stage.deps:
            out = made.get(dep.fs_path)
            if out and out.hash_info and dep.hash_info and dep.hash_info.value != out.hash_info.value:
                lock = lock_of(pipeline, stage)
                yield f"{pipeline.path(dep)}: {lock} has {pipeline.label(stage)} made from another version than this"


def _params_of(stage: Any) -> list[Any]:
    from dvc.dependency import ParamsDependency

    return [dep for dep in stage.deps if isinstance(dep, ParamsDependency)]


def _params(pipeline: Pipeline) -> dict[str, list[str]]:
    """Return the keys that the stages use, by file."""
    keys: dict[str, list[str]] = {}
    for stage in pipeline.stages:
        for dep in _params_of(stage):
            keys.setdefault(pipeline.path(dep), []).extend(dep.params or [""])
    return keys


def _values_changed(name: str, commit: Tree, workspace: Tree, *, keys: Sequence[str]) -> Iterator[str]:
    """Yield what differs in a YAML file below any of the dotted keys; "" is all."""
    if not (workspace.root / name).is_file():
        yield f"{name}: missing in {workspace.name}"
        return
    sides = [flatten(read_yaml(tree.root / name)) for tree in (commit, workspace)]
    used = [{key: value for key, value in side.items() if _is_below(key, keys)} for side in sides]
    for change in values_changed(*used):
        yield f"{name}: {change} ({commit.name} -> {workspace.name})"


def _is_below(key: str, keys: Sequence[str]) -> bool:
    expected = any(not above or key == above or key.startswith(f"{above}.") for above in keys)
    return expected and not key.endswith(".desc") and key.split(".")[0] not in UNREAD
