"""What the results of a commit or the working directory were made from, by dvc.lock, and whether they are stale.

They are if code or params were changed since without `dvc repro`.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localizer import config
from localizer.former_names import current_params
from localizer.pipeline.dag import Pipeline, locked_digests
from localizer.tracking.history.evaluations import locked_source_digests

SHOWN = 5  # params, files or stages in a message
UNSET = "(unset)"  # in place of a missing param's value


@dataclass(frozen=True)
class Provenance:
    """What dvc.lock records about results; params and sources are empty if it records other results.

    params: of the stages' last run, by dotted name. sources: see `evaluations.source_digests`. stale: how
    these differ from what is in the commit or working directory, in words; empty if they don't.
    """

    params: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    stale: str = ""


def provenance(repo: Any, results: Mapping[Path, bytes]) -> Provenance:
    """Return the provenance of results: paths and contents of files that one stage makes.

    repo: DVC's view of their commit or working directory. Of folders only those of code are compared: data may be large
    and missing from git.
    """
    from dvc.exceptions import DvcException

    try:
        pipeline, tracked = Pipeline(repo), {out.fs_path: out for out in repo.index.outs}
    except DvcException as error:
        return Provenance(stale=f"what its results were made from is unknown: {' '.join(str(error).split())}")
    outs = {Path(pipeline.path(out)): out for stage in pipeline.stages for out in stage.outs if out.hash_info}
    unknown = [path for path, data in results.items() if path not in outs or outs[path].hash_info.value != _md5(data)]
    if unknown:
        names = _enumerated(path.as_posix() for path in unknown)
        return Provenance(stale=f"what its {names} was made from is unknown: dvc.lock records another version")
    stages = pipeline.with_upstream(next(outs[path].stage for path in results))
    deps = [dep for stage in pipeline.stages for dep in stage.deps if pipeline.path(dep) == str(config.PARAMS)]
    params = {name: value for used in locked_digests(deps).values() for name, value in config.flatten(used).items()}
    return Provenance(params, locked_source_digests(pipeline), _stale(pipeline, stages, tracked))


def _stale(pipeline: Pipeline, stages: Sequence[Any], tracked: Mapping[str, Any]) -> str:
    """Return in words how the stages' inputs changed since they ran; empty if they didn't.

    tracked: by path, the outputs that DVC tracks, whose digests it has.
    """
    from dvc.dependency import ParamsDependency

    ran = [stage for stage in stages if any(out.hash_info for out in stage.outs)]
    deps = [dep for stage in ran for dep in stage.deps]
    is_params = {dep: isinstance(dep, ParamsDependency) for dep in deps}
    changes = {
        "with ": [text for dep in deps if is_params[dep] for text in _changed_params(pipeline, dep)],
        "with other versions of ": [
            pipeline.path(dep) for dep in deps if not is_params[dep] and _is_changed(dep, tracked)
        ],
        "with other commands of ": [pipeline.label(stage) for stage in ran if stage.cmd_changed],
    }
    parts = [f"{prefix}{_enumerated(names)}" for prefix, names in changes.items() if names]
    return f"its results were made {', and '.join(parts)}" if parts else ""


def _changed_params(pipeline: Pipeline, dep: Any) -> Iterator[str]:
    file = pipeline.path(dep)
    prefix = "" if file == str(config.PARAMS) else f"{file}:"
    used, present = (
        current_params(config.flatten(values or {})) for values in (dep.hash_info.value, dep.read_params())
    )
    for name in sorted({*used, *present}):
        old, new = (values.get(name, UNSET) for values in (used, present))
        if old != new or type(old) is not type(new):
            yield f"{prefix}{name} {old} (now {new})"


def _is_changed(dep: Any, tracked: Mapping[str, Any]) -> bool:
    """Return whether a dependency differs from the one that the stage ran with."""
    out = tracked.get(dep.fs_path)
    if out is not None:
        return bool(out.hash_info and dep.hash_info.value != out.hash_info.value)
    if not dep.is_in_repo:
        return False
    if dep.fs.isdir(dep.fs_path):
        return _is_code(dep, tracked) and bool(dep.hash_info.value != dep.get_hash().value)
    if dep.hash_info.isdir:
        return False  # data that git doesn't have
    exists = dep.fs.exists(dep.fs_path)
    return bool(dep.hash_info.value != (_md5(dep.fs.read_bytes(dep.fs_path)) if exists else None))


def _is_code(dep: Any, tracked: Mapping[str, Any]) -> bool:
    """Return whether a folder is of code, which git has completely, unlike data."""
    if any(Path(path).is_relative_to(dep.fs_path) for path in tracked):
        return False
    return any(name.endswith(".py") for name in dep.fs.find(dep.fs_path))


def _enumerated(words: Iterable[str]) -> str:
    """Return the distinct words as a list in a sentence: the first SHOWN, and the number of the others."""
    distinct = list(dict.fromkeys(words))
    shown = distinct if len(distinct) <= SHOWN else [*distinct[:SHOWN], f"{len(distinct) - SHOWN} more"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
