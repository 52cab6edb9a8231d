"""What git and DVC have in this checkout of what a user names."""

import subprocess

RUN, REVISION = "run:", "rev:"  # before a name that fits both a run and a revision
SHORT = 7  # characters of a commit, as git has them


def revision(name: str) -> str | None:
    """Return the commit of a branch, tag, commit or experiment; None if there is no such, or no git."""
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
            raise ValueError(f"{name}: several experiments have this name; write the commit of one") from None
        return None


def experiment(name: str, commit: str) -> str | None:
    """Return the commit of DVC's experiment of a name that was run on another commit; None if there is no such here."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.repo.experiments.refs import ExpRefInfo

    try:
        with Repo() as repo:
            found = repo.scm.get_ref(str(ExpRefInfo(commit, name)))
    except DvcException:
        return None
    return str(found) if found else None


def lacking() -> str:
    """Return in words, after a semicolon, that this clone lacks commits; empty where it has all."""
    try:
        asked = subprocess.run(["git", "rev-parse", "--is-shallow-repository"], capture_output=True, text=True)
    except OSError:  # no git
        return ""
    shallow = "; this clone is shallow: `git fetch --unshallow` brings the commits that it lacks"
    return shallow if asked.stdout.strip() == "true" else ""
