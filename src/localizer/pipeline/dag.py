"""The pipeline as DVC sees it: its stages in order, what went into them and what came out."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

from localizer.pipeline.dvc_digest import digest, has_many_files

Digests = dict[str, str]
CODE = ("src/", "stages/")  # folders of it, for stages that depend on whole wings


class Pipeline:
    """The stages of the main dvc.yaml and all that they are made from, upstream first.

    A stage of another data set's dvc.yaml, which nothing here depends on, is not among them.
    """

    def __init__(self, repo: Any) -> None:
        self.root = Path(repo.root_dir)
        self._graph = repo.index.graph
        self._all = [stage for stage in repo.index.stages if stage.cmd]
        main = str(self.root / "dvc.yaml")
        self.stages = self._upstream_first([stage for stage in self._all if stage.path == main])

    def own(self, name: str) -> Any | None:
        """Return the stage that this process runs for: the one that DVC names, else the one of this name."""
        address = os.environ.get("DVC_STAGE", name)
        ordered = [*self.stages, *self._all]
        alike = [stage for stage in ordered if stage.name == address.rpartition(":")[2]]
        return next((stage for stage in alike if stage.addressing == address), alike[0] if alike else None)

    def label(self, stage: Any) -> str:
        """Return the stage's name, behind its folder if it isn't in the main dvc.yaml."""
        folder = Path(stage.path).parent.relative_to(self.root)
        return (folder / str(stage.name)).as_posix()

    def upstream(self, stage: Any) -> list[Any]:
        """Return the stages whose outputs the stage reads."""
        return [near for near in self._graph.successors(stage) if near.cmd]

    def up_to(self, stage: Any) -> list[Any]:
        """Return all that the stage is made from, and itself."""
        return self._upstream_first([stage])

    def outputs(self) -> list[Path]:
        """Return the absolute paths of all that the pipeline writes."""
        return [Path(out.fs_path) for stage in self.stages for out in stage.outs]

    def places(self) -> set[Path]:
        """Return the absolute paths of the files and folders from which code and data could come.

        Of what stages read and none of them writes: a file in the project's root, a whole folder there, since code
        imports what lies beside it; what is outside of the project as it is. And DVC's own folder.
        """
        read = {Path(item.fs_path) for stage in self.stages for item in stage.deps} - {*self.outputs()}
        inside = {path for path in read if path.is_relative_to(self.root)}
        tops = {self.root.joinpath(*path.relative_to(self.root).parts[:1]) for path in inside}
        return (read - inside) | tops | {self.root / ".dvc"}

    def path(self, item: Any) -> str:
        """Return where a dependency or output lies, relative to the project if it is inside."""
        place = PurePath(item.fs_path)
        inside = place.is_relative_to(self.root)
        return place.relative_to(self.root).as_posix() if inside else str(item.def_path)

    def _upstream_first(self, stages: list[Any]) -> list[Any]:
        ordered: dict[Any, None] = {}

        def visit(stage: Any) -> None:
            if stage not in ordered:
                for near in self.upstream(stage):
                    visit(near)
                ordered[stage] = None

        for stage in stages:
            visit(stage)
        return list(ordered)


@contextmanager
def open_pipeline() -> Iterator[Pipeline | None]:
    """Give the pipeline of the working directory; None outside of a DVC project."""
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo

    try:
        repo = Repo()
    except NotDvcRepoError:
        yield None
        return
    with repo:
        yield Pipeline(repo)


def is_changed(stage: Any) -> bool:
    """Return whether dvc.lock no longer holds for the stage, so that DVC would run or restore it."""
    return bool(stage.changed_stage()) or any(_differs(item) for item in (*stage.deps, *stage.outs))


def _differs(item: Any) -> bool:
    if item.IS_DEPENDENCY and has_many_files(item):
        return bool(item.hash_info.value != digest(item))
    return bool(item.status())


def locked(items: list[Any]) -> dict[Any, Any]:
    """Return each dependency's or output's digest in dvc.lock; for params, their values."""
    return {item: item.hash_info.value for item in items if item.hash_info}


def current(items: list[Any]) -> dict[Any, Any]:
    """Return each dependency's or output's digest in the working directory; what is missing has none."""
    return {item: digest(item) for item in items if item.exists}


def files(pipeline: Pipeline, digests: dict[Any, Any]) -> Digests:
    """Return the digests of files and folders by path, without params."""
    return {pipeline.path(item): value for item, value in digests.items() if isinstance(value, str)}


def is_code(path: str) -> bool:
    """Return whether a stage's dependency is code, of which runs are found by commit, and not data."""
    return path.endswith(".py") or path.startswith(CODE)


def key(pipeline: Pipeline, stage: Any, digests: dict[Any, Any]) -> str:
    """Return a hash of the stage's command, and of its dependencies' digests and its params' values."""
    inputs = sorted((pipeline.path(item), value) for item, value in digests.items())
    text = json.dumps([stage.cmd, inputs], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
