"""The pipeline as DVC has it: its stages in topological order, their dependencies and outputs, and the digests."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from localizer.pipeline.dvc_digest import compute_digest, has_many_files

Digests = dict[str, str]  # by path
CODE_FOLDERS = ("src/", "stages/")


class Pipeline:
    """The stages of the main dvc.yaml and all that is upstream of them, in topological order.

    A stage of another data set's dvc.yaml, which nothing here depends on, is not among them.
    """

    def __init__(self, repo: Any) -> None:
        self.root = Path(repo.root_dir)
        self._graph = repo.index.graph
        self._all = [stage for stage in repo.index.stages if stage.cmd]
        main = str(self.root / "dvc.yaml")
        self.stages = self.with_upstream(*[stage for stage in self._all if stage.path == main])

    def find_stage(self, name: str) -> Any | None:
        """Return the stage that this process runs for: the one in DVC_STAGE, else the one of this name."""
        address = os.environ.get("DVC_STAGE", name)
        matches = [stage for stage in (*self.stages, *self._all) if stage.name == address.rpartition(":")[2]]
        return next((stage for stage in matches if stage.addressing == address), matches[0] if matches else None)

    def label(self, stage: Any) -> str:
        """Return the stage's name, with its folder before it unless it is in the main dvc.yaml."""
        return (Path(stage.path).parent.relative_to(self.root) / str(stage.name)).as_posix()

    def upstream(self, stage: Any) -> list[Any]:
        """Return the stages whose outputs the stage reads."""
        return [parent for parent in self._graph.successors(stage) if parent.cmd]

    def with_upstream(self, *stages: Any) -> list[Any]:
        """Return the stages and all that is upstream of them, in topological order."""
        ordered: dict[Any, None] = {}

        def visit(stage: Any) -> None:
            if stage not in ordered:
                for parent in self.upstream(stage):
                    visit(parent)
                ordered[stage] = None

        for stage in stages:
            visit(stage)
        return list(ordered)

    def output_paths(self) -> set[Path]:
        """Return the absolute paths of all that the pipeline writes."""
        return {Path(out.fs_path) for stage in self.stages for out in stage.outs}

    def source_paths(self) -> set[Path]:
        """Return the absolute paths of the files and folders that code and data could come from.

        For what a stage reads and none writes: the file or the whole folder in the project's root that has it, since
        code imports its neighbors; outside of the project the path itself. And DVC's own folder.
        """
        read = {Path(dep.fs_path) for stage in self.stages for dep in stage.deps} - self.output_paths()
        inside = {path for path in read if path.is_relative_to(self.root)}
        tops = {self.root.joinpath(*path.relative_to(self.root).parts[:1]) for path in inside}
        return (read - inside) | tops | {self.root / ".dvc"}

    def path(self, item: Any) -> str:
        """Return the path of a dependency or output, relative to the project if it is inside."""
        path = Path(item.fs_path)
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(item.def_path)

    def file_digests(self, digests: dict[Any, Any]) -> Digests:
        """Return the digests of files and folders by path, without params."""
        return {self.path(item): value for item, value in digests.items() if isinstance(value, str)}

    def stage_key(self, stage: Any, digests: dict[Any, Any]) -> str:
        """Return a hash of the stage's command, its dependencies' digests and its params' values."""
        inputs = sorted((self.path(item), value) for item, value in digests.items())
        return hashlib.sha256(json.dumps([stage.cmd, inputs], sort_keys=True, default=str).encode()).hexdigest()


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
    return bool(stage.changed_stage()) or any(_is_item_changed(item) for item in (*stage.deps, *stage.outs))


def _is_item_changed(item: Any) -> bool:
    if item.IS_DEPENDENCY and has_many_files(item):
        return bool(item.hash_info.value != compute_digest(item))
    return bool(item.status())


def locked_digests(items: Iterable[Any]) -> dict[Any, Any]:
    """Return the digest that dvc.lock has of each dependency or output; for params, their values."""
    return {item: item.hash_info.value for item in items if item.hash_info}


def current_digests(items: Iterable[Any]) -> dict[Any, Any]:
    """Return the digest of each dependency or output that exists in the working directory; for params, their values."""
    return {item: compute_digest(item) for item in items if item.exists}


def is_code(path: str) -> bool:
    """Return whether a dependency is code, by which runs aren't found: the commit is tagged instead."""
    return path.endswith(".py") or path.startswith(CODE_FOLDERS)
