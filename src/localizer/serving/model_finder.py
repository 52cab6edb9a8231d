"""The model that a --model option names: a file, a git revision or DVC experiment, or a run or model of MLflow."""

import sys
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

from localizer.files import file_sha256, replacing_folder
from localizer.pipeline.revisions import REVISION, RUN, SHORT, resolve_revision
from localizer.serving.model_forms import CARD, MODEL, MODEL_FORMS, SUFFIX
from localizer.tracking import main_checkout
from localizer.tracking.history.runs import History, list_some, open_history
from localizer.tracking.registry.models import (
    RUN_URI,
    LoggedModelMatch,
    download,
    find_models,
    local_weights,
    logged_model_id,
)


class CommittedModel(NamedTuple):
    """The model of a commit that the user named so: DVC's file system at the commit, and the md5 of both files."""

    name: str
    commit: str
    files: Any
    weights_md5: str
    card_md5: str


def find_model(model: str) -> Path:
    """Return the weights file, its card in the same folder; ValueError if the name matches no model, or several.

    A model that is not on this machine's file system is copied into .localizer/models, which may be deleted any time.
    """
    if not model:
        raise ValueError(f"--model '': an empty name; expected {MODEL_FORMS}")
    if Path(model).suffix == SUFFIX or Path(model).is_file():
        return _file(Path(model))
    if match := RUN_URI.fullmatch(model):
        return _named(model, name=match[1], kind=RUN)
    if model.startswith(("models:/", "runs:/")):
        model_id = logged_model_id(model)
        history, problem = open_history()
        if not history.stores:
            raise ValueError(f"{model}: {problem}")
        return _logged(history, model_id)
    kind = next((prefix for prefix in (RUN, REVISION) if model.startswith(prefix)), "")
    return _named(model, name=model.removeprefix(kind), kind=kind)


def _file(path: Path) -> Path:
    if path.suffix != SUFFIX:
        raise ValueError(f"{path}: expected a {SUFFIX} file, with its card, the same name in .json, in its folder")
    if not path.is_file():
        fix = "train it with `dvc repro`, fetch it with `dvc pull`, or name another with --model"
        raise ValueError(f"{path}: no such file; {fix if path == MODEL else f'--model expects {MODEL_FORMS}'}")
    return path


def _named(given: str, *, name: str, kind: str) -> Path:
    """Return the weights of a revision or a run; of a name that is both only if their weights are the same.

    given: the name with its prefix. kind: RUN, REVISION, or empty for either.
    """
    commit = _commit(name) if kind != RUN else None
    committed = _committed(name, commit) if commit else None
    history, problem = open_history() if kind != REVISION else (History([]), "")
    runs: list[LoggedModelMatch] = []
    with suppress(ValueError) if committed else nullcontext():  # ValueError: the run has no model
        runs = find_models(history, name)
    if committed and (not runs or committed.weights_md5 in [run.weights for run in runs]):
        return _fetch_committed(committed)
    if committed:
        both = f"both a run ({runs[0].run_id}) and a revision ({committed.commit[:SHORT]}), with different weights"
        raise ValueError(f"{given}: {both}; write {RUN}{runs[0].run_id} or {REVISION}{name}")
    if len(runs) == 1:
        return _logged(history, runs[0].model_id)
    if not runs:
        raise ValueError(f"{given}: {_tried(name, kind=kind, commit=commit, problem=problem)}")
    listed = list_some([f"{RUN}{run.run_id} ({run.name}, models:/{run.model_id})" for run in runs])
    raise ValueError(f"{given}: ambiguous, {len(runs)} models, newest first: {listed}")


def _tried(name: str, *, kind: str, commit: str | None, problem: str) -> str:
    """Return where the name was looked up in vain."""
    tried = {
        "": "a folder" if Path(name).is_dir() else "no file",
        REVISION: f"no {MODEL} in the revision {commit[:SHORT]}" if commit else "no branch, tag, commit or experiment",
        RUN: f"no run of that id or name in MLflow{f' ({problem})' if problem else ''}",
    }
    return f"{tried[kind] if kind else ', '.join(tried.values())}; --model expects {MODEL_FORMS}"


def _logged(history: History, model_id: str) -> Path:
    local = local_weights(history, model_id)
    return local or _fetch(model_id, lambda folder: download(history, model_id, folder))


def _commit(name: str) -> str | None:
    """Return the commit of a revision; None for no revision, or one of a file or folder, as HEAD:README.md."""
    found = resolve_revision(name)
    return found and resolve_revision(f"{found}^{{commit}}")


def _committed(name: str, commit: str) -> CommittedModel | None:
    """Return the model of a commit; None if it has none."""
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException

    try:
        files = DVCFileSystem(rev=commit)
        weights, card = (str(files.info(path.as_posix()).get("md5", commit)) for path in (MODEL, CARD))
    except (DvcException, OSError):
        return None
    return CommittedModel(name, commit, files, weights, card)


def _fetch_committed(model: CommittedModel) -> Path:
    """Return the weights of a commit, copied from git, DVC's cache or its default remote."""

    def copy(folder: Path) -> None:
        for path in (MODEL, CARD):
            try:
                model.files.get_file(path.as_posix(), str(folder / path.name))
            except Exception as error:  # DVC's remotes raise exceptions of their own libraries
                raise ValueError(
                    f"{model.name}: {path} of {model.commit[:SHORT]} is neither in DVC's cache nor in its remote "
                    f"({error or type(error).__name__}); rebuild it: `git checkout {model.commit[:SHORT]} && dvc repro`"
                ) from None

    return _fetch(f"{model.weights_md5[:16]}-{model.card_md5[:16]}", copy)


def _fetch(name: str, copy: Callable[[Path], object]) -> Path:
    """Return the weights in .localizer/models/NAME; `copy` fills the folder unless it holds an intact model."""
    folder = main_checkout() / ".localizer" / "models" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / "lock"):
        if not _is_intact(folder):
            print(f"fetching the model into {folder}", file=sys.stderr)
            with replacing_folder(folder) as new:
                copy(new)
        return next(folder.rglob(MODEL.name))


def _is_intact(folder: Path) -> bool:
    """Return whether the folder has weights with the SHA-256 in their card."""
    from localizer.model.saving import read_model_card

    with suppress(ValueError):
        for weights in folder.rglob(MODEL.name):
            return file_sha256(weights) == read_model_card(weights.with_suffix(".json")).weights_sha256
    return False
