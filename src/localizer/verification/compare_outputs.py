"""Compare a stage's output, or any files, between two checkouts by content."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localizer.pipeline.dag import Digests
from localizer.pipeline.dvc_digest import file_md5
from localizer.verification.file_diff import describe_difference

MAX_LISTED = 100  # differing files of one output or input; the rest is counted


@dataclass(frozen=True)
class Checkout:
    """A folder with a version of the project: its name in messages, and DVC's view of it."""

    name: str
    repo: Any

    @property
    def root(self) -> Path:
        return Path(self.repo.root_dir)

    def digests(self, path: str) -> tuple[str | None, Digests]:
        """Return the md5 of a file or folder as in dvc.lock, None if it is missing, and of each file in it by path.

        .dvcignore applies. The bytes are read each time: DVC itself trusts a file's time and size.
        """
        target = self.root / path
        found = [str(target)] if target.is_file() else self.repo.dvcignore.find(self.repo.fs, str(target))
        names = sorted(file.relative_to(self.root).as_posix() for file in map(Path, found) if file.is_file())
        files = {name: file_md5(self.root / name) for name in names}
        if not target.is_dir():
            return files.get(path), files
        entries = [{"md5": md5, "relpath": name.removeprefix(f"{path}/")} for name, md5 in files.items()]
        return f"{hashlib.md5(json.dumps(entries).encode(), usedforsecurity=False).hexdigest()}.dir", files


@dataclass(frozen=True)
class OutputComparison:
    """An output's digests in the workspace, in the commit's lock file and after the rerun, and what differs."""

    path: str
    workspace: str | None
    locked: str | None
    rerun: str | None
    differences: tuple[str, ...]

    @property
    def same(self) -> bool:
        return not self.differences


def compare_output(
    path: str, *, workspace: Checkout, rerun: Checkout, lock: str, locked: str | None
) -> OutputComparison:
    """Compare a rerun's output with the workspace's, file by file, and with the digest `locked` of the file `lock`.

    An output that the workspace lacks, such as in a fresh clone, is compared with the lock file only.
    """
    (old, old_files), (new, new_files) = workspace.digests(path), rerun.digests(path)
    differences = list(compare_files(workspace, rerun, old_files, new_files)) if old else []
    if new != locked and not differences:
        differences = [f"{path}: {lock} has md5 {locked}, the rerun made {new}"]
    return OutputComparison(path, old, locked, new, tuple(differences))


def compare_files(old: Checkout, new: Checkout, old_files: Digests, new_files: Digests) -> Iterator[str]:
    """Yield one text per file that differs between two checkouts, or that one of them lacks."""
    paths = sorted(path for path in old_files | new_files if old_files.get(path) != new_files.get(path))
    for path in paths[:MAX_LISTED]:
        if path in old_files and path in new_files:
            yield describe_difference(path, {checkout.name: checkout.root / path for checkout in (old, new)})
        else:
            yield f"{path}: missing in the {new.name if path in old_files else old.name}"
    if len(paths) > MAX_LISTED:
        yield f"and {len(paths) - MAX_LISTED} more files"
