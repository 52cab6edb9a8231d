"""Revisions of git and experiments of DVC by the name that a user gives."""

from contextlib import suppress

from localizer.pipeline.git_state import git

RUN, REVISION, FOLDS = "run:", "rev:", "folds:"  # before a name that several of these have
SHORT = 7  # characters of an abbreviated commit


def resolve_revision(name: str) -> str | None:
    """Return the commit of a branch, tag, commit or experiment; None if there is none, or no git."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.scm import resolve_rev

    if not name:
        return None
    try:
        with Repo() as repo:
            return str(resolve_rev(repo.scm, name))
    except DvcException as error:
        if "ambiguous" in str(error):
            raise ValueError(f"{name}: several experiments have this name; give the commit of one") from None
        return None


def resolve_experiment(name: str, *, base: str) -> str | None:
    """Return the commit of the experiment of this name that was run on the commit `base`; None if there is none."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.repo.experiments.refs import ExpRefInfo

    with suppress(DvcException), Repo() as repo:
        return repo.scm.get_ref(str(ExpRefInfo(base, name))) or None
    return None


def shallow_clone_hint() -> str:
    """Return how to fetch the commits that a shallow clone lacks, after a semicolon; empty in a full clone."""
    with suppress(ValueError):
        if git("rev-parse", "--is-shallow-repository").strip() == "true":
            return "; this clone is shallow: `git fetch --unshallow` fetches the missing commits"
    return ""
