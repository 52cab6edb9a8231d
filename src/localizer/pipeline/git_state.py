"""The code's state: the commit, and what differs from it."""

import subprocess
from collections.abc import Iterable, Set
from dataclasses import dataclass
from pathlib import Path

UNKNOWN = "unknown"
UNTRACKED = "??"  # as `git status` has it
REWRITTEN_BY_DVC = ("dvc.lock", ".gitignore")
READ_BY_DVC = ("dvc.yaml", ".dvcignore")  # wherever they lie, as it does files that end in .dvc


@dataclass(frozen=True)
class Source:
    """The commit and the changed paths; both unknown (None) without git or before the first commit."""

    commit: str | None
    changed: tuple[str, ...] | None

    @property
    def tags(self) -> dict[str, str]:
        """Return commit and dirty flag as tags, and which paths make it dirty."""
        if self.commit is None or self.changed is None:
            return {"git.commit": UNKNOWN, "git.dirty": UNKNOWN}
        tags = {"git.commit": self.commit, "git.dirty": str(bool(self.changed)).lower()}
        tags["mlflow.source.git.commit"] = self.commit
        return tags | ({"git.changed": "\n".join(self.changed)} if self.changed else {})


def read(outputs: Iterable[Path], places: Set[Path] | None) -> Source:
    """Return the state of the checkout around the working directory.

    outputs: absolute paths of what the pipeline writes. They are results, so a change there is not dirt.
    places: absolute paths of files and folders from which code and data could come. A file that git doesn't know is
    dirt there and where DVC would read it, else not: a photograph beside them changes no result. None: it is dirt
    everywhere.
    """
    commit, top = _git("rev-parse", "--verify", "HEAD"), _git("rev-parse", "--show-toplevel")
    status = _git("--no-optional-locks", "status", "-z", "--no-renames", "--untracked-files=all")
    if commit is None or top is None or status is None:
        return Source(commit=None, changed=None)
    results = set(outputs)
    entries = [(entry[:2], Path(top.strip(), entry[3:])) for entry in status.split("\0") if entry]
    counted = [path for state, path in entries if state != UNTRACKED or places is None or _is_read(path, places)]
    changed = [path for path in counted if not _is_result(path, results)]
    return Source(commit.strip(), tuple(path.relative_to(top.strip()).as_posix() for path in changed))


def _is_read(path: Path, places: Set[Path]) -> bool:
    by_dvc = path.name in READ_BY_DVC or path.suffix == ".dvc"
    return by_dvc or not places.isdisjoint((path, *path.parents))


def _is_result(path: Path, results: set[Path]) -> bool:
    return path.name in REWRITTEN_BY_DVC or not results.isdisjoint((path, *path.parents))


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, check=True, encoding="utf-8")
    except (OSError, subprocess.CalledProcessError, UnicodeDecodeError):
        return None
    return done.stdout
