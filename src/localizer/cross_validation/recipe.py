"""What is cross-validated: a commit and changed params; each fold is one experiment of DVC on that commit."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from localizer import config
from localizer.pipeline.dag import open_pipeline
from localizer.pipeline.git_state import git, read_git_state

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
FOLDS, FOLD = "split.folds", "split.fold"
SHOWN = 5  # changed files, or params, in a message


@dataclass(frozen=True)
class Recipe:
    """A recipe under a name: overrides are as of `dvc exp run --set-param`; params: all, by dotted name, but FOLD."""

    name: str
    folds: int
    overrides: tuple[str, ...]
    commit: str
    params: dict[str, Any]

    @property
    def experiments(self) -> list[str]:
        """Return the name of each fold's experiment."""
        return [f"{self.name}-fold-{fold}" for fold in range(self.folds)]

    def overrides_of(self, fold: int) -> list[str]:
        """Return what makes the recipe that of a fold."""
        return [*self.overrides, f"{FOLDS}={self.folds}", f"{FOLD}={fold}"]

    def check_same(self, experiment: str, sha: str) -> None:
        """Raise ValueError if a finished experiment was made with other params than this recipe's."""
        text = git("show", f"{sha}:./{config.PARAMS}")
        found = config.flatten(config.parse_yaml(text, where=f"{experiment}: {config.PARAMS}"))
        names = [name for name in sorted({*found, *self.params} - {FOLD}) if found.get(name) != self.params.get(name)]
        if names:
            listed = ", ".join(f"{name} {found.get(name)} (now {self.params.get(name)})" for name in names[:SHOWN])
            raise ValueError(
                f"{experiment}: an experiment of this name exists, with other params: {listed}; choose another --name, "
                f"or remove it: `dvc exp remove {experiment}`"
            )


def open_recipe(name: str, *, folds: int, overrides: Sequence[str]) -> Recipe:
    """Return the recipe of the working directory, with these overrides.

    ValueError for a name that is none, fewer than 2 folds, given splits, wrong overrides, and changes that aren't
    committed.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"--name {name}: expected letters, digits, - and _, the first a letter or digit")
    if folds < 2:
        raise ValueError(f"--folds: expected 2 or more, got {folds}")
    commit = _committed()
    params = _params([*overrides, f"{FOLDS}={folds}"], own=len(overrides))
    if params.get("split.method") == "given":
        raise ValueError("split.method: expected one that makes folds, got given; pass -S split.method=hash")
    return Recipe(name, folds, tuple(overrides), commit, {key: value for key, value in params.items() if key != FOLD})


def _committed() -> str:
    """Return the commit that is checked out; ValueError if code, params or data differ from it, or there is none."""
    with open_pipeline() as pipeline:
        if pipeline is None:
            raise ValueError("no DVC project here; change to the root of your clone")
        state = read_git_state(pipeline.output_paths(), pipeline.source_paths())
    if state.commit is None or state.changed is None:
        raise ValueError(
            "no commit here, and the folds start from one: `git init && git add -A && git commit -m first`"
        )
    if state.changed:
        more = len(state.changed) - SHOWN
        listed = ", ".join(state.changed[:SHOWN]) + (f" and {more} more" if more > 0 else "")
        raise ValueError(
            f"the folds start from a commit, and these aren't committed as they are: {listed}; commit them (`git add` "
            "and `git commit`), or `git stash` them; params may be given by --set-param"
        )
    return state.commit


def _params(overrides: Sequence[str], *, own: int) -> dict[str, Any]:
    """Return the params of the working directory with overrides, by dotted name; the first `own` are the user's."""
    from dvc.exceptions import DvcException
    from dvc.utils.hydra import apply_overrides, to_hydra_overrides
    from hydra.errors import OverrideParseException

    with TemporaryDirectory() as folder:
        copy = Path(folder) / config.PARAMS.name
        copy.write_bytes(config.PARAMS.read_bytes())
        for number, override in enumerate(overrides):
            try:
                (parsed,) = to_hydra_overrides([override])
                if number < own and (parsed.is_sweep_override() or parsed.key_or_group in (FOLDS, FOLD)):
                    what = "several values" if parsed.is_sweep_override() else "the folds, for which there is --folds"
                    raise ValueError(f"--set-param {override}: expected one value, got {what}; run one recipe a time")
                apply_overrides(copy, [override])
            except (DvcException, OverrideParseException) as error:
                cause = str(error.__cause__ or error).strip().splitlines()[0]
                raise ValueError(f"--set-param {override}: {cause}") from None
        return config.flatten(config.read_yaml(copy))
