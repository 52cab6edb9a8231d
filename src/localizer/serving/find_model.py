"""A model's files by what a user writes: a file, a revision or experiment of DVC, or a run or model of MLflow."""

import argparse
import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localizer.pipeline.revisions import REVISION, RUN, SHORT, resolve_revision
from localizer.tracking.history.runs import open_history

if TYPE_CHECKING:
    from localizer.tracking.history.runs import History
    from localizer.tracking.registry.models import LoggedModelMatch

MODEL = Path("models/localizer.safetensors")  # of the last execution of the pipeline
CARD = MODEL.with_suffix(".json")
SUFFIX = MODEL.suffix
SHOWN = 5  # runs in a message
TAKEN = (
    "a .safetensors file, with its JSON beside it; a branch, tag, commit or DVC experiment; an MLflow run: its id, six "
    "characters of it or more, or its name; run:NAME or rev:NAME where a name fits both; models:/localizer@champion, "
    "models:/localizer/3, models:/m-… or runs:/RUN/model"
)


@dataclass(frozen=True)
class Kept:
    """A commit that has a model: how it was asked for, DVC's file system of it, md5 of the model's files."""

    name: str
    sha: str
    files: Any
    weights: str
    card: str


def add_model_option(parser: argparse.ArgumentParser) -> None:
    """Add --model, which `find_model` takes."""
    parser.add_argument("--model", default=str(MODEL), metavar="MODEL", help=f"{TAKEN}; %(default)s if not given")


def find_model(asked: str) -> Path:
    """Return the weights' file, its card beside it, of the one model that is meant; ValueError if none is, or several.

    What doesn't lie on this machine is copied into .localizer/models, which may be deleted at any time.
    """
    if not asked:
        raise ValueError(f"--model '': an empty name; --model takes {TAKEN}")
    path = Path(asked)
    if path.suffix == SUFFIX or path.is_file():
        return _file(path)
    if asked.startswith(("models:/", "runs:/")):
        return _Finder().of_address(asked)
    kind = next((prefix for prefix in (RUN, REVISION) if asked.startswith(prefix)), "")
    return _Finder().named(asked, kind=kind, name=asked.removeprefix(kind))


class _Finder:
    """Finds models; the MLflow stores are opened once, and only for what may be there."""

    def of_address(self, address: str) -> Path:
        from localizer.tracking.registry.models import RUN_URI, logged_model_id

        if match := RUN_URI.fullmatch(address):
            return self.named(address, kind=RUN, name=match[1])
        model_id = logged_model_id(address)
        history, problem = self._opened
        if not history.stores:
            raise ValueError(f"{address}: {problem}")
        return self._logged(model_id)

    def named(self, asked: str, *, kind: str, name: str) -> Path:
        """Return the weights of a revision or a run; of a name that is both, where their weights are the same."""
        sha = _commit(name) if kind != RUN else None
        kept = _kept(name, sha) if sha else None
        runs = self._runs(name, needed=kept is None) if kind != REVISION else []
        if kept is None:
            return self._logged(self._one(asked, runs, sha=sha).model_id)
        if runs and kept.weights not in [run.weights for run in runs]:
            both = f"both a run ({runs[0].run_id}) and a revision ({kept.sha[:SHORT]}), with other weights"
            raise ValueError(f"{asked}: {both}; write {RUN}{runs[0].run_id} or {REVISION}{name}")
        return _of_revision(kept)

    @cached_property
    def _opened(self) -> "tuple[History, str]":
        return open_history()

    def _runs(self, name: str, *, needed: bool) -> "list[LoggedModelMatch]":
        from localizer.tracking.registry.models import find_models

        try:
            return find_models(self._opened[0], name)
        except ValueError:
            if needed:
                raise
            return []  # one that has no model is not meant

    def _one(self, asked: str, runs: "Sequence[LoggedModelMatch]", *, sha: str | None) -> "LoggedModelMatch":
        if len(runs) == 1:
            return runs[0]
        if runs:
            shown = "; ".join(f"{RUN}{run.run_id} ({run.name}, models:/{run.model_id})" for run in runs[:SHOWN])
            more = f"; and {len(runs) - SHOWN} older ones" if len(runs) > SHOWN else ""
            raise ValueError(f"{asked}: {len(runs)} models are meant by this, the newest first: {shown}{more}")
        file = "a folder" if Path(asked).is_dir() else "no file"
        commit = f"no {MODEL} in the revision {sha[:SHORT]}" if sha else "no branch, tag, commit or experiment"
        if asked.startswith(REVISION):
            raise ValueError(f"{asked}: {commit}{'' if sha else ' of that name'}")
        problem = f" ({self._opened[1]})" if self._opened[1] else ""
        tried = "" if asked.startswith((RUN, "runs:/")) else f"{file}, {commit}, and "
        raise ValueError(f"{asked}: {tried}no run of that id or name in MLflow{problem}; --model takes {TAKEN}")

    def _logged(self, model_id: str) -> Path:
        from localizer.tracking.registry.models import download, local_weights

        history, _ = self._opened
        local = local_weights(history, model_id)
        return local or _fetched(model_id, lambda folder: download(history, model_id, folder))


def _file(path: Path) -> Path:
    if path.suffix != SUFFIX:
        raise ValueError(
            f"{path}: a file that ends in {SUFFIX} was expected, with its card, the same name in .json, beside"
        )
    if not path.is_file():
        trained = "`dvc repro` trains it, `dvc pull` fetches it; or name another by --model"
        raise ValueError(f"{path}: no such file; {trained if path == MODEL else f'--model takes {TAKEN}'}")
    return path


def _commit(name: str) -> str | None:
    """Return the commit that a name means; None where it is none, or that of a file or folder: HEAD:README.md."""
    found = resolve_revision(name)
    return found and resolve_revision(f"{found}^{{commit}}")


def _kept(name: str, sha: str) -> Kept | None:
    """Return a commit's model; None where it has none."""
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException

    try:
        files = DVCFileSystem(rev=sha)
        weights, card = (str(files.info(path.as_posix()).get("md5", sha)) for path in (MODEL, CARD))
    except (DvcException, OSError):
        return None
    return Kept(name, sha, files, weights, card)


def _of_revision(kept: Kept) -> Path:
    """Return a commit's weights; what is in DVC's cache or default remote is taken from there."""

    def fetch(folder: Path) -> None:
        for path in (MODEL, CARD):
            try:
                kept.files.get_file(path.as_posix(), str(folder / path.name))
            except Exception as error:  # a remote that can't be reached raises whatever its library does
                raise ValueError(
                    f"{kept.name}: {path} of {kept.sha[:SHORT]} is not in the cache of DVC or its remote "
                    f"({error or type(error).__name__}); make it: `git checkout {kept.sha[:SHORT]} && dvc repro`"
                ) from None

    return _fetched(f"{kept.weights[:16]}-{kept.card[:16]}", fetch)


def _fetched(name: str, fetch: Callable[[Path], object]) -> Path:
    """Return the weights in .localizer/models/NAME, fetched unless they are there, and whole."""
    from filelock import FileLock

    from localizer.files import replacing_folder
    from localizer.tracking import main_checkout

    folder = main_checkout() / ".localizer" / "models" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / "lock"):
        if not _whole(folder):
            print(f"fetching the model into {folder}", file=sys.stderr)
            with replacing_folder(folder) as new:
                fetch(new)
        return next(folder.rglob(MODEL.name))


def _whole(folder: Path) -> bool:
    """Return whether the weights are those that their card describes."""
    from localizer.model.saving import read_model_card

    for weights in folder.rglob(MODEL.name):
        try:
            expected = read_model_card(weights.with_suffix(".json")).weights_sha256
        except ValueError:
            return False
        with weights.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == expected
    return False
