"""The code's state: the commit, and what differs from it."""

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

UNKNOWN = "unknown"
REWRITTEN_BY_DVC = ("dvc.lock", ".gitignore")


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


def read(outputs: Iterable[Path]) -> Source:
    """Return the state of the checkout around the working directory.

    outputs: absolute paths of what the pipeline writes. They are results, so a change there is not dirt.
    """
    commit, top = _git("rev-parse", "--verify", "HEAD"), _git("rev-parse", "--show-toplevel")
    status = _git("--no-optional-locks", "status", "-z", "--no-renames", "--untracked-files=all")
    if commit is None or top is None or status is None:
        return Source(commit=None, changed=None)
    results = set(outputs)
    paths = [Path(top.strip(), entry[3:]) for entry in status.split("\0") if entry]
    changed = [path for path in paths if not _is_result(path, results)]
    return Source(commit.strip(), tuple(path.relative_to(top.strip()).as_posix() for path in changed))


def _is_result(path: Path, results: set[Path]) -> bool:
    return path.name in REWRITTEN_BY_DVC or not results.isdisjoint((path, *path.parents))


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, check=True, encoding="utf-8")
    except (OSError, subprocess.CalledProcessError, UnicodeDecodeError):
        return None
    return done.stdout
