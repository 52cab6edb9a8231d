"""Whether the pipeline can run in a checkout, where its runs go, and what its caches take."""

import json
import os
import re
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from localizer import config
from localizer.commands.diagnosis.check import Check, size_text
from localizer.commands.diagnosis.machine import SOURCE
from localizer.pipeline.git_state import git

SECTIONS = ("prepare", "validate", "split", "train", "evaluate", "demo")  # of the parameters
IN_PACKAGE = {"train": "localizer.training.params", "demo": "localizer.datasets.synthetic"}  # others: in stages/
IDENTITY = {"user.name": "GIT_COMMITTER_NAME", "user.email": "GIT_COMMITTER_EMAIL"}  # a setting, and what replaces it
# bytes: a training writes 1.2 GB, a checkpoint of 400 MB and its successor, and weights of 95 MB to models/, to DVC's
# cache and to MLflow, one of them at a time through a temporary file; decoded images and reports come on top
LITTLE_DISK = 2_000_000_000
NO_DISK = 200_000_000  # bytes: the weights, and DVC's copy of them
SIZES_S = 1.0  # seconds for the sizes of all caches


def find_checkout(folder: Path) -> Path | None:
    """Return the nearest folder around this one that is under DVC or git, if it has a pipeline; else None."""
    places = (place for place in (folder, *folder.parents) if (place / ".dvc").is_dir() or (place / ".git").exists())
    root = next(places, None)
    return root if root and any((root / name).exists() for name in (".dvc", "dvc.yaml")) else None


def check_outside(folder: Path) -> Check:
    return Check("problem", f"none with a pipeline around {folder}", "cd to your clone of Localizer")


def check_place(root: Path) -> Check:
    """Return where the checkout is; a warning if this command is another one's, so that stages run other code."""
    if root == SOURCE:
        return Check("ok", str(root))
    found = f"{root}, but this command is of {SOURCE}"
    return Check("warning", found, 'in the checkout: export PYTHONPATH="$PWD/src"')


def check_git(root: Path) -> Check:
    """Return whether DVC finds a repository, runs can record their commit, and git can commit."""
    if not (root / ".git").exists():
        fix = "git init && git add . && git commit -m 'First commit'"
        return Check("problem", "no repository here, which DVC needs", fix)
    if shutil.which("git") is None:
        return Check("warning", "not installed, so runs don't record their commit", "install git")
    try:
        git("-C", str(root), "rev-parse", "--git-dir")
    except ValueError as error:  # mostly: the folder is another user's
        fix = 'in the checkout: git config --global --add safe.directory "$PWD"'
        return Check("warning", _first_line(error, root), fix)
    if not _git(root, "rev-parse", "--verify", "HEAD"):
        found = "no commit, so `dvc exp run` is refused and runs don't record one"
        return Check("warning", found, "git add . && git commit -m 'First commit'")
    unset = [key for key, name in IDENTITY.items() if not (_git(root, "config", key) or os.environ.get(name))]
    if unset:
        fix = " && ".join(f'git config --global {key} "YOUR {key[5:].upper()}"' for key in unset)
        return Check("warning", f"{' and '.join(unset)} not set, which `git commit` needs", fix)
    return Check("ok", "has a commit and an identity")


def check_dvc(root: Path) -> Check:
    """Return whether DVC is set up here, and no other process uses it."""
    if missing := [name for name in (".dvc", "dvc.yaml") if not (root / name).exists()]:
        return Check("problem", f"{' and '.join(missing)} missing", f"git restore {' '.join(missing)}")
    try:
        stages = config.read_yaml(root / "dvc.yaml").get("stages") or {}
    except ValueError as error:
        return Check("problem", _first_line(error, root), "correct it; `git diff dvc.yaml` shows what changed")
    if _dvc_config(root) is None:  # DVC's message may have a line with a password
        return Check("problem", "DVC can't read its settings", "correct what `dvc config --list` reports")
    try:
        running = ", ".join(map(str, _lock_owners(root / ".dvc/tmp")))
    except (ValueError, KeyError, AttributeError, TypeError):
        return Check("problem", ".dvc/tmp/rwlock is damaged", "rm .dvc/tmp/rwlock")
    if running:
        fix = f"wait for it (`ps {running}` shows it); if it isn't DVC: rm .dvc/tmp/rwlock"
        return Check("warning", f"locked by process {running}", fix)
    return Check("ok", f"{len(stages)} stages, not locked")


def _dvc_config(root: Path) -> dict[str, Any] | None:
    """Return DVC's settings; None if they can't be read."""
    from dvc.config import Config, ConfigError

    try:
        return dict(Config(str(root / ".dvc")))
    except ConfigError:
        return None


def _lock_owners(folder: Path) -> list[int]:
    """Return the processes that have DVC's locks: `lock` for a moment, entries in `rwlock` while a stage runs."""
    import fcntl

    owners = set()
    with suppress(FileNotFoundError):
        held = json.loads((folder / "rwlock").read_text(encoding="utf-8"))
        readers = [reader for entry in held.get("read", {}).values() for reader in entry]
        owners |= {int(owner["pid"]) for owner in (*held.get("write", {}).values(), *readers)}
    with suppress(FileNotFoundError), (folder / "lock").open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            owners |= {int(word) for word in file.read().split()}
    return sorted(owner for owner in owners if Path("/proc", str(owner)).exists())


def check_params(root: Path) -> Check:
    """Return whether each section of the parameters is what its stage takes."""
    name, problems = str(config.PARAMS), []
    if not (root / name).exists():
        return Check("problem", f"{name} missing", f"git restore {name}")
    for section in SECTIONS:
        try:
            config.load(section, _record(section), path=root / name)
        except ValueError as error:
            problems += str(error).splitlines()
    if not problems:
        return Check("ok", f"{name} is valid")
    first, *others = dict.fromkeys(problems)
    more = f" (and {len(others)} more)" if others else ""
    return Check("problem", _first_line(first, root) + more, f"correct it; `git diff {name}` shows what changed")


def _record(section: str) -> Any:
    """Return the record of a section, from the package or from the stage's script."""
    import runpy

    script = str(SOURCE / "stages" / f"{section}.py")
    names = vars(import_module(IN_PACKAGE[section])) if section in IN_PACKAGE else runpy.run_path(script)
    return names[f"{section.capitalize()}Params"]


def check_dataset(root: Path) -> Check:
    """Return whether the data set of the parameters is there, or a stage that creates it."""
    from localizer.dataset import open_dataset

    try:
        name = config.read_yaml(root / config.PARAMS)["prepare"]["dataset"]
        folder = root / "data" / name
    except (ValueError, KeyError, TypeError):
        return Check("problem", "unknown without prepare.dataset", f"correct {config.PARAMS}")
    try:
        dataset = open_dataset(folder)
    except ValueError as error:
        fix = f"correct data/{name}/dataset.yaml" if folder.is_dir() else f"set prepare.dataset in {config.PARAMS}"
        return Check("problem", _first_line(error, root), fix)
    needed = (dataset.annotations, folder / "raw" / dataset.config.images)
    missing = " and ".join(_relative(path, root) for path in needed if not path.exists())
    if missing and (folder / "dvc.yaml").exists():
        return Check("ok", f"{name}; `dvc repro` creates its raw/")
    if missing:
        fix = f"dvc pull --recursive data/{name}, or correct data/{name}/dataset.yaml"
        return Check("problem", f"{missing} missing", fix)
    return Check("ok", str(name))


def check_runs(root: Path) -> Check:
    """Return where runs go; the server isn't asked."""
    from localizer.tracking.store import database_file, server_uri

    file, server = database_file(), server_uri()
    state = size_text(file.stat().st_size) if file.exists() else "which the first run creates"
    copies = f"; copies go to {host_of(server)}" if server else ""
    return Check("ok", f"{_relative(file, root).partition('?')[0]}, {state}{copies}")


def host_of(address: str) -> str:
    """Return an address from its scheme to its port; the variable's name where a password could be anywhere."""
    host = r"(?:[\w.-]+|\[[\da-fA-F:.]+\])(?::\d+)?"
    match = re.fullmatch(rf"(https?://)(?:[^@/?#]*@)?({host})(?:[/?#][^@]*)?", address)
    return "".join(match.groups()) if match else "the server in MLFLOW_TRACKING_URI"


def check_caches(root: Path) -> Check:
    """Return the size of each cache, as far as it can be counted in SIZES_S."""
    moved = (_dvc_config(root) or {}).get("cache", {}).get("dir")
    folders = {"DVC": Path(moved or root / ".dvc/cache")}
    folders |= {name: root / name for name in (".localizer", "mlartifacts")}
    deadline = time.monotonic() + SIZES_S
    return Check("ok", ", ".join(f"{name} {_size(folder, deadline)}" for name, folder in folders.items()))


def _size(folder: Path, deadline: float) -> str:
    """Return the size of the files below a folder; of those counted before the deadline."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            if time.monotonic() > deadline:
                return f"more than {size_text(total)}"
            with suppress(OSError):
                total += os.lstat(f"{place}/{name}").st_size
    return size_text(total) if folder.exists() else "none"


def check_disk(root: Path) -> Check:
    """Return the free disk space; a warning if a training may not fit."""
    free = shutil.disk_usage(root).free
    if free >= LITTLE_DISK:
        return Check("ok", f"{size_text(free)} free")
    fix = "rm -r .localizer; dvc gc --workspace  # caches; then old versions of data and models"
    return Check("problem" if free < NO_DISK else "warning", f"{size_text(free)} free; training needs 2 GB", fix)


def _git(folder: Path, *arguments: str) -> str:
    """Return what git prints for a folder; empty if it fails."""
    with suppress(ValueError):
        return git("-C", str(folder), *arguments).strip()
    return ""


def _first_line(text: object, root: Path) -> str:
    return _relative(str(text).partition("\n")[0], root)


def _relative(text: object, root: Path) -> str:
    return str(text).replace(f"{root}/", "")


CHECKS: dict[str, Callable[[Path], Check]] = {
    "checkout": check_place,
    "git": check_git,
    "dvc": check_dvc,
    "params": check_params,
    "data set": check_dataset,
    "runs": check_runs,
    "caches": check_caches,
    "disk": check_disk,
}
OUTSIDE: dict[str, Callable[[Path], Check]] = {"checkout": check_outside, "disk": check_disk}
