"""A clean clone of a commit: its folder, its data, and commands that run in it."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from localizer.pipeline.git_state import git

USER_SETTINGS = ("DVC_", "MLFLOW_")  # variables that could lead the clone to the user's stores
TAIL = 20  # lines of a failed command's output in its error
LOW_SPACE = 200_000_000  # bytes: less free disk may be why a command failed
STOP_TIMEOUT_S = 30  # for a stage to end after SIGINT
CACHE = "workspace-cache"  # the workspace's cache, as a remote of the clone


@contextmanager
def clone_folder(keep: Path | None) -> Iterator[Path]:
    """Yield an empty folder for the clone: a temporary one, or the one to keep."""
    if keep is None:
        with TemporaryDirectory(prefix="localizer-verify-") as temporary:
            yield Path(temporary).resolve()
        return
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise ValueError(f"--keep {keep}: expected a new or empty folder; name another")
    keep.mkdir(parents=True, exist_ok=True)
    yield keep.resolve()


def clone_commit(commit: str, *, top: Path, folder: Path, project: Path) -> Path:
    """Clone a commit; return the DVC project's folder in the clone.

    project: the project's path below `top`, the work tree that is cloned.
    """
    _run(["git", "clone", "-q", "--no-checkout", str(top), str(folder)], folder)
    _run(["git", "checkout", "-q", "--detach", commit], folder)
    dvc = folder / project / ".dvc"
    if not dvc.is_dir():
        raise ValueError(f"the commit {commit[:7]} has no DVC project in {project}")
    # These settings override the user's, such as a shared cache: DVC writes nothing outside of the clone.
    settings = f"[core]\n    site_cache_dir = {dvc / 'tmp'}\n[cache]\n    dir = cache\n"
    (dvc / "config.local").write_text(settings, "utf-8")
    return folder / project


def pull(targets: Sequence[str], *, clone: Path, workspace: Any) -> None:
    """Fetch the data of .dvc files into the clone from the workspace's cache, else from its default remote.

    workspace: its DVC repo. ValueError lists what was tried.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    remotes = {**workspace.config["remote"], CACHE: {"url": workspace.cache.local.path.removesuffix("/files/md5")}}
    errors = []
    for remote in filter(None, (CACHE, workspace.config["core"].get("remote"))):
        try:
            with Repo(str(clone), config={"remote": remotes}) as repo:
                repo.pull(list(targets), remote=remote)
            return
        except (DvcException, OSError) as error:
            errors.append(f"{remote}: {' '.join(str(error).split())}")
    raise ValueError(
        f"{', '.join(targets)}: no data in the workspace's cache or a default remote ({'; '.join(errors)}); `dvc add` "
        "adds it to the cache, `dvc pull` fetches it"
    )


def rerun_stage(target: str, clone: Path) -> None:
    """Run one stage in the clone, also if it is up to date; ValueError has the end of a failed one's output."""
    dvc = [sys.executable, "-m", "dvc", "repro"]
    _run([*dvc, "--single-item", "--force", "--no-run-cache", target], clone)


def _run(command: list[str], folder: Path) -> None:
    """Run a command in its own process group, which is stopped as a whole if this process is interrupted."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "errors": "replace"}
    process = subprocess.Popen(command, cwd=folder, env=_environment(), start_new_session=True, **pipes)
    try:
        output, _ = process.communicate()
    except BaseException:
        _stop(process)
        raise
    if process.returncode:
        tail = "\n".join(f"    {line}" for line in output.splitlines()[-TAIL:])
        shown = " ".join(["dvc", *command[3:]] if command[0] == sys.executable else command[:2])
        free = shutil.disk_usage(folder).free
        disk = f"only {free // 1_000_000} MB are free in its folder (set TMPDIR); " if free < LOW_SPACE else ""
        raise ValueError(f"`{shown}` failed in the clone with status {process.returncode}: {disk}it printed\n{tail}")


def _stop(process: "subprocess.Popen[str]") -> None:
    """Interrupt the process group, so that a stage can end its step, and kill what is left of it."""
    try:
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, signal.SIGINT)
            process.communicate(timeout=STOP_TIMEOUT_S)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _environment() -> dict[str, str]:
    """Return the environment without the user's stores and git variables, and with this Python as `python`."""
    local = git("rev-parse", "--local-env-vars").split()
    kept = {name: os.environ[name] for name in os.environ.keys() - local if not name.startswith(USER_SETTINGS)}
    if mirror := kept.get("LOCALIZER_MIRROR"):
        kept["LOCALIZER_MIRROR"] = str(Path(mirror).absolute())
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', os.defpath)}"
    return kept | {"PATH": path, "DVC_NO_ANALYTICS": "1"}
