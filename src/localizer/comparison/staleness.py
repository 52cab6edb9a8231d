"""What the results of a commit, or of the working directory, were made from, and whether that is still beside them.

dvc.lock tells what they were made from. Code and params may have been changed since, without `dvc repro`.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localizer import config
from localizer.pipeline.dag import Pipeline, locked_digests
from localizer.tracking.history.evaluations import locked_source_digests

SHOWN = 5  # of params, files or stages, in words
UNSET = "(unset)"  # a param's value where it has none


@dataclass(frozen=True)
class Origin:
    """What dvc.lock tells of results; nothing where it tells of others.

    params: those that the stages were run with, by dotted name. sources: see `evaluations.source_digests`.
    stale: what of all this isn't beside the results any more, in words; empty where all is.
    """

    params: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    stale: str = ""


def origin_of(repo: Any, results: Mapping[Path, bytes]) -> Origin:
    """Return what results, the contents of files that one stage makes, were made from.

    repo: DVC's view of the commit or the working directory that has them. Of folders only those with code are looked
    into: of data git may have nothing, and it may be large.
    """
    from dvc.exceptions import DvcException

    try:
        pipeline, tracked = Pipeline(repo), {out.fs_path: out for out in repo.index.outs}
    except DvcException as error:
        return Origin(stale=f"what its results were made from isn't known: {' '.join(str(error).split())}")
    outs = {Path(pipeline.path(out)): out for stage in pipeline.stages for out in stage.outs}
    told = {path: outs[path].hash_info.value for path in results if path in outs and outs[path].hash_info}
    unlike = [path.as_posix() for path, content in results.items() if told.get(path) != _md5(content)]
    if unlike:
        return Origin(stale=f"what made its {_some(unlike)} isn't known: dvc.lock doesn't tell of this content")
    last = next(outs[path].stage for path in results)
    return Origin(
        _params(pipeline), locked_source_digests(pipeline), _stale(pipeline, pipeline.with_upstream(last), tracked)
    )


def _params(pipeline: Pipeline) -> dict[str, Any]:
    deps = [dep for stage in pipeline.stages for dep in stage.deps if pipeline.path(dep) == str(config.PARAMS)]
    return {name: value for used in locked_digests(deps).values() for name, value in config.flatten(used).items()}


def _stale(pipeline: Pipeline, stages: Sequence[Any], tracked: Mapping[str, Any]) -> str:
    """Return in words how what the stages were run with differs from what is there; empty where it doesn't.

    tracked: by path, what DVC keeps, of which it has the digest.
    """
    from dvc.dependency import ParamsDependency

    run = [stage for stage in stages if any(out.hash_info for out in stage.outs)]
    deps = [dep for stage in run for dep in stage.deps]
    params = [one for dep in deps if isinstance(dep, ParamsDependency) for one in _changed_params(pipeline, dep)]
    files = [dep for dep in deps if not isinstance(dep, ParamsDependency) and _is_changed(dep, tracked)]
    commands = [pipeline.label(stage) for stage in run if stage.cmd_changed]
    parts = [f"with {_some(params)}"] if params else []
    parts += [f"with another {_some(map(pipeline.path, files))}"] if files else []
    parts += [f"with another command of {_some(commands)}"] if commands else []
    return f"its results were made {', and '.join(parts)}" if parts else ""


def _changed_params(pipeline: Pipeline, dep: Any) -> Iterator[str]:
    file = pipeline.path(dep)
    prefix = "" if file == str(config.PARAMS) else f"{file}:"
    used, written = config.flatten(dep.hash_info.value or {}), config.flatten(dep.read_params())
    for name in sorted({*used, *written}):
        old, new = (values.get(name, UNSET) for values in (used, written))
        if old != new or type(old) is not type(new):
            yield f"{prefix}{name} {old} in place of {new}"


def _is_changed(dep: Any, tracked: Mapping[str, Any]) -> bool:
    """Return whether a dependency isn't the one that the stage was run with."""
    out = tracked.get(dep.fs_path)
    if out is not None:
        return bool(out.hash_info and dep.hash_info.value != out.hash_info.value)
    if not dep.is_in_repo:
        return False
    if dep.fs.isdir(dep.fs_path):
        return _is_code(dep, tracked) and bool(dep.hash_info.value != dep.get_hash().value)
    if dep.hash_info.isdir:
        return False  # data that git hasn't got
    there = dep.fs.exists(dep.fs_path)
    return bool(dep.hash_info.value != (_md5(dep.fs.read_bytes(dep.fs_path)) if there else None))


def _is_code(dep: Any, tracked: Mapping[str, Any]) -> bool:
    """Return whether a folder is a wing of code, all of which git has: of a folder with data it may have nothing."""
    if any(Path(path).is_relative_to(dep.fs_path) for path in tracked):
        return False
    return any(name.endswith(".py") for name in dep.fs.find(dep.fs_path))


def _some(words: Iterator[str] | Sequence[str]) -> str:
    """Return the words, each once, as a person lists them: the first SHOWN, and how many more there are."""
    each = list(dict.fromkeys(words))
    shown = each[:SHOWN] if len(each) <= SHOWN else [*each[:SHOWN], f"{len(each) - SHOWN} more"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
