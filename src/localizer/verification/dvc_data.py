"""Data that no stage makes: what is under .dvc files, and the folders that stages read it in."""

from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

from localizer.pipeline.dag import Pipeline
from localizer.verification.compare_outputs import Tree, differing
from localizer.verification.inputs import unlike_locked


def kept_by_dvc(repo: Any, deps: Sequence[Any]) -> list[Any]:
    """Return the .dvc files that hold a dependency, or something in it."""
    pairs = [(one, out, PurePath(out.fs_path)) for one in repo.index.stages if not one.cmd for out in one.outs]
    places = [PurePath(dep.fs_path) for dep in deps]
    return list(dict.fromkeys(one for one, _, out in pairs if any(_overlap(out, place) for place in places)))


def not_committed(pipeline: Pipeline, deps: Sequence[Any], kept: Sequence[Any]) -> Iterator[str]:
    """Yield which dependencies the commit has not at all."""
    outs = [PurePath(out.fs_path) for one in kept for out in one.outs]
    lost = [dep for dep in deps if not dep.exists and not any(_overlap(out, PurePath(dep.fs_path)) for out in outs)]
    for path in dict.fromkeys(pipeline.path(dep) for dep in lost):
        yield f"{path}: not in the commit: neither under git, nor in a .dvc file, nor made by a stage"


def changed_data(
    pipeline: Pipeline, deps: Sequence[Any], kept: Sequence[Any], *, commit: Tree, workspace: Tree
) -> Iterator[str]:
    """Yield how the data in the clone differs from the workspace's, and from the commit's lock files.

    What the workspace never pulled is compared with the lock files alone.
    """
    outs = [pipeline.path(out) for one in kept for out in one.outs]
    absent = [PurePath(out) for out in outs if not (workspace.root / out).exists()]
    for path in dict.fromkeys(pipeline.path(dep) for dep in deps):
        new = commit.digests(path).items()
        known = {name: md5 for name, md5 in new if not any(PurePath(name).is_relative_to(out) for out in absent)}
        yield from differing(commit, workspace, (known, workspace.digests(path)))
    yield from unlike_locked(pipeline, deps)


def _overlap(one: PurePath, two: PurePath) -> bool:
    return one.is_relative_to(two) or two.is_relative_to(one)
