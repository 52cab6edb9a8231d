"""A clean clone of a commit in a folder of its own, its data, and its stages run there."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

OURS = ("DVC_", "MLFLOW_")  # settings of the user's, that would lead the clone to the user's stores
TAIL = 20  # lines of what a failed command printed
LITTLE = 200_000_000  # bytes of free disk that may be why something failed
PATIENCE_S = 30  # for a stage to end when it is told to
CACHE = "workspace-cache"  # the name that the clone has for the workspace's cache


@dataclass(frozen=True)
class Commit:
    """A commit of the checkout around the working directory; top: of the work tree."""

    top: Path
    digest: str


def find_commit(revision: str) -> Commit:
    """Return the commit that a revision names; ValueError outside of git and where there is none."""
    top = _git("rev-parse", "--show-toplevel")
    if top.returncode:
        raise ValueError(f"not a git checkout, and verify compares with a commit ({top.stderr.strip()})")
    named = _git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    if named.returncode and _git("rev-parse", "--verify", "--quiet", "HEAD").returncode:
        raise ValueError("the checkout has no commit yet: `git add` the project, dvc.lock too, and `git commit`")
    if named.returncode:
        raise ValueError(f"{revision!r} names no commit here; `git log --oneline` lists them")
    return Commit(Path(top.stdout.strip()), named.stdout.strip())


@contextmanager
def folder(keep: Path | None) -> Iterator[Path]:
    """Give an empty folder for the clone: one that is removed at the end, or the one to keep."""
    if keep is None:
        with TemporaryDirectory(prefix="localizer-verify-") as temporary:
            yield Path(temporary).resolve()
        return
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise ValueError(f"{keep}: is there already and not an empty folder; name another for --keep")
    keep.mkdir(parents=True, exist_ok=True)
    yield keep.resolve()


def make(commit: Commit, place: Path, *, project: Path) -> Path:
    """Clone the commit; return the project's folder in it, whose DVC has a cache of its own.

    project: the DVC project's path below the top of the work tree.
    """
    _run(["git", "clone", "-q", "--no-checkout", str(commit.top), str(place)], place)
    _run(["git", "checkout", "-q", "--detach", commit.digest], place)
    settings = place / project / ".dvc" / "config.local"
    if not settings.parent.is_dir():
        raise ValueError(f"the commit {commit.digest[:7]} has no DVC project in {project}")
    # Before any other setting of the user's, such as a shared cache, and no trace is left outside of the clone.
    settings.write_text(f"[core]\n    site_cache_dir = {settings.parent / 'tmp'}\n[cache]\n    dir = cache\n", "utf-8")
    return place / project


def bring(targets: Sequence[str], *, clone: Path, workspace: Any) -> None:
    """Fetch what is under .dvc files into the clone, from the workspace's cache or else from its default remote.

    workspace: DVC's view of it. Raises ValueError that says what was tried.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    remotes = {**workspace.config["remote"], CACHE: {"url": workspace.cache.local.path.removesuffix("/files/md5")}}
    default = workspace.config["core"].get("remote")
    faults = []
    for remote in [CACHE, *([default] if default else [])]:
        try:
            with Repo(str(clone), config={"remote": remotes}) as repo:
                repo.pull(list(targets), remote=remote)
            return
        except (DvcException, OSError) as error:
            faults.append(f"{remote}: {' '.join(str(error).split())}")
    raise ValueError(
        f"the data of {', '.join(targets)} can't be got, neither from the workspace's cache nor from "
        f"{f'the default remote {default!r}' if default else 'a default remote, which there is not'}: "
        f"{'; '.join(faults)}; `dvc add` puts it in the cache, `dvc pull` fetches it"
    )


def rerun(target: str, clone: Path) -> None:
    """Run one stage in the clone, whatever it has; ValueError shows the end of what a failed one printed."""
    dvc = [sys.executable, "-m", "dvc", "repro"]
    _run([*dvc, "--single-item", "--force", "--no-run-cache", target], clone)


def _run(command: list[str], place: Path) -> None:
    """Run a command in a process group of its own, which is ended as a whole when this process is stopped."""
    streams: dict[str, Any] = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "text": True,
        "errors": "replace",
    }
    process = subprocess.Popen(command, cwd=place, env=_environment(), start_new_session=True, **streams)
    try:
        printed, _ = process.communicate()
    except BaseException:
        _end(process)
        raise
    if process.returncode:
        tail = "\n".join(f"    {line}" for line in printed.splitlines()[-TAIL:])
        shown = " ".join(["dvc", *command[3:]] if command[0] == sys.executable else command[:2])
        free = shutil.disk_usage(place).free
        full = f"only {free // 1_000_000} MB are free in its folder (TMPDIR names another); " if free < LITTLE else ""
        raise ValueError(f"`{shown}` failed in the clone, with status {process.returncode}: {full}it printed\n{tail}")


def _end(process: "subprocess.Popen[str]") -> None:
    """Interrupt the group, so that a stage can end its step, and kill what is left of it."""
    try:
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=PATIENCE_S)
    except (ProcessLookupError, subprocess.TimeoutExpired):
        pass
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _environment() -> dict[str, str]:
    """Return the user's environment without what leads to the user's stores, and with this Python as `python`."""
    local = _git("rev-parse", "--local-env-vars").stdout.split()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS) and name not in local}
    if mirror := kept.get("LOCALIZER_MIRROR"):
        kept["LOCALIZER_MIRROR"] = str(Path(mirror).absolute())
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', os.defpath)}"
    return kept | {"PATH": path, "DVC_NO_ANALYTICS": "1"}


def _git(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["git", *arguments], capture_output=True, text=True)
