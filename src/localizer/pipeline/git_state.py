"""The checkout's commit, and the paths that differ from it."""

import subprocess
from collections.abc import Iterable, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

UNKNOWN = "unknown"
UNTRACKED = "??"  # a code of `git status`
REWRITTEN_BY_DVC = ("dvc.lock", ".gitignore")
READ_BY_DVC = ("dvc.yaml", ".dvcignore")  # in any folder, as are files that end in .dvc


@dataclass(frozen=True)
class GitState:
    """The commit and the changed paths; both None without git or before the first commit."""

    commit: str | None = None
    changed: tuple[str, ...] | None = None

    @property
    def tags(self) -> dict[str, str]:
        """Return commit, dirty flag and changed paths as MLflow tags."""
        if self.commit is None or self.changed is None:
            return {"git.commit": UNKNOWN, "git.dirty": UNKNOWN}
        tags = {"git.commit": self.commit, "git.dirty": str(bool(self.changed)).lower()}
        tags["mlflow.source.git.commit"] = self.commit
        return tags | ({"git.changed": "\n".join(self.changed)} if self.changed else {})


def read_git_state(outputs: Iterable[Path] = (), sources: Set[Path] | None = None) -> GitState:
    """Return the state of the checkout around the working directory.

    outputs: absolute paths that the pipeline writes; a change there is no change of the code.
    sources: absolute paths of files and folders that code and data could come from. An untracked file counts as a
    change only there and where DVC would read it: a photograph elsewhere changes no result. None: it always counts.
    """
    with suppress(ValueError):
        commit, root = git("rev-parse", "--verify", "HEAD").strip(), Path(git("rev-parse", "--show-toplevel").strip())
        status = git("--no-optional-locks", "status", "-z", "--no-renames", "--untracked-files=all")
        written = set(outputs)
        entries = [(entry[:2], root / entry[3:]) for entry in status.split("\0") if entry]
        changed = [
            path.relative_to(root).as_posix()
            for code, path in entries
            if code != UNTRACKED or sources is None or _is_read(path, sources)
            if path.name not in REWRITTEN_BY_DVC and not _is_within(path, written)
        ]
        return GitState(commit, tuple(changed))
    return GitState()


def git(*arguments: str) -> str:
    """Return what a git command prints, as text; ValueError as `git_bytes`."""
    return git_bytes(*arguments).decode()


def git_bytes(*arguments: str) -> bytes:
    """Return what a git command prints; ValueError where git is missing, or the command fails."""
    try:
        return subprocess.run(["git", *arguments], check=True, capture_output=True).stdout
    except OSError as error:
        raise ValueError(f"git was not found, or can't be started ({error.strerror}); install it") from None
    except subprocess.CalledProcessError as error:
        raise ValueError(f"git {' '.join(arguments)}: {error.stderr.decode(errors='replace').strip()}") from None


def _is_read(path: Path, sources: Set[Path]) -> bool:
    return path.name in READ_BY_DVC or path.suffix == ".dvc" or _is_within(path, sources)


def _is_within(path: Path, places: Set[Path]) -> bool:
    return not places.isdisjoint((path, *path.parents))
