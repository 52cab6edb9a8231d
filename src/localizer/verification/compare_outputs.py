"""What differs between two checkouts, file by file."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localizer.verification.file_diff import explain

Digests = dict[str, str]

EXPLAINED, NAMED = 10, 100  # differing files of one output, or of the inputs; the rest is counted


@dataclass(frozen=True)
class Tree:
    """A checkout: what messages call it, and DVC's view of it."""

    name: str
    repo: Any

    @property
    def root(self) -> Path:
        return Path(self.repo.root_dir)

    def digests(self, path: str) -> Digests:
        """Return the md5 of a file, or of each file in a folder that .dvcignore leaves, by path; empty if missing.

        The bytes are read each time: DVC itself trusts a file's time and size.
        """
        place = self.root / path
        found = [str(place)] if place.is_file() else self.repo.dvcignore.find(self.repo.fs, str(place))
        files = sorted(file for file in map(Path, found) if file.is_file())
        return {file.relative_to(self.root).as_posix(): _md5(file) for file in files}

    def digest(self, path: str, files: Digests) -> str | None:
        """Return the digest of a file or folder as dvc.lock has it, from its files'; None if it is missing."""
        if path in files or not (self.root / path).is_dir():
            return files.get(path)
        entries = [{"md5": md5, "relpath": name.removeprefix(f"{path}/")} for name, md5 in files.items()]
        listed = json.dumps(sorted(entries, key=lambda entry: entry["relpath"])).encode()
        return f"{hashlib.md5(listed, usedforsecurity=False).hexdigest()}.dir"


@dataclass(frozen=True)
class Compared:
    """An output: its digest in the workspace, in the commit's lock file and from the rerun, and what differs."""

    path: str
    workspace: str | None
    locked: str | None
    rerun: str | None
    differences: tuple[str, ...]

    @property
    def same(self) -> bool:
        return not self.differences


def compare_output(path: str, *, workspace: Tree, rerun: Tree, lock: str, locked: str | None) -> Compared:
    """Return how a rerun's output differs from the workspace's, file by file, and from the lock file's digest.

    What the workspace has not, as in an empty clone, is compared with the lock file alone.
    """
    digests = workspace.digests(path), rerun.digests(path)
    here, new = workspace.digest(path, digests[0]), rerun.digest(path, digests[1])
    found = list(differing(workspace, rerun, digests)) if here else []
    if new != locked and not found:
        found = [f"{path}: {lock} has md5 {locked}, the rerun made {new}"]
    return Compared(path, here, locked, new, tuple(found))


def differing(one: Tree, two: Tree, digests: tuple[Digests, Digests]) -> Iterator[str]:
    """Yield a text for each file that one tree lacks, or that isn't the same: the first in detail."""
    paths = [path for path in sorted(digests[0] | digests[1]) if digests[0].get(path) != digests[1].get(path)]
    for number, path in enumerate(paths[:NAMED]):
        missing = [tree.name for tree, known in zip((one, two), digests, strict=True) if path not in known]
        if missing:
            yield f"{path}: missing in {missing[0]}"
        else:
            sides = {tree.name: tree.root / path for tree in (one, two)}
            yield explain(path, sides) if number < EXPLAINED else f"{path}: differs"
    if len(paths) > NAMED:
        yield f"and {len(paths) - NAMED} more files"


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
