"""Data sets that a stage of their own makes: what a person changes there, `dvc repro` takes back."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from shlex import quote
from typing import Any

PIPELINE, CARD = "dvc.yaml", "dataset.yaml"


def overwrite_warning(target: Path) -> str:
    """Return what `dvc repro` would take back of a data set, given by its folder or a file in it, and how to keep it.

    Empty where there is nothing: no stage makes the set, or its files are as the stage made them.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    here = target.resolve()
    folder = next((one for one in (here, *here.parents) if (one / PIPELINE).is_file() and (one / CARD).is_file()), None)
    if folder is None:
        return ""
    try:
        with Repo(str(folder)) as repo:
            changed = _changed(repo, folder)
            return _told(folder, changed, root=Path(repo.root_dir)) if changed else ""
    except (DvcException, ValueError):  # no project of DVC, or a broken one, or a broken card: these are mended first
        return ""


def _changed(repo: Any, folder: Path) -> list[Any]:
    """Return the outputs in the folder of the set's own stage that are there, and not as dvc.lock says."""
    from localizer.pipeline.dvc_digest import compute_digest

    outs = [out for stage in repo.stage.load_all(str(folder / PIPELINE)) for out in stage.outs]
    inside = [out for out in outs if folder in Path(out.fs_path).parents and out.exists]
    return [out for out in inside if compute_digest(out) != out.hash_info.value]


def _told(folder: Path, changed: list[Any], *, root: Path) -> str:
    names = ", ".join(Path(out.fs_path).relative_to(root).as_posix() for out in changed)
    pipeline = (folder / PIPELINE).relative_to(root)
    lines = [
        f"{names}: not as {pipeline} made it, and `dvc repro` makes it so again, without your changes.",
        "To keep them, make the set your own under another name, in the project's folder:",
    ]
    commands = _to_keep(folder, root=root, can_push=all(out.can_push for out in changed))
    return "\n".join([*lines, *(f"  {command}" for command in commands)])


def _to_keep(folder: Path, *, root: Path, can_push: bool) -> Iterator[str]:
    """Yield the commands that make a copy of the set, with its card, that no stage makes, and that run it."""
    from localizer.dataset import read_config_file

    names = (f"{folder.name}-mine{number or ''}" for number in count())
    name = next(one for one in names if not (folder.parent / one).exists())
    old = folder.relative_to(root)
    new = old.with_name(name)
    images = quote((new / "raw" / read_config_file(folder / CARD).images).as_posix())
    yield f"cp -r {old} {new}"
    yield f"rm -f {new}/{PIPELINE} {new}/dvc.lock {new}/.gitignore"
    yield f"dvc add {images}"
    if not can_push:
        yield f"echo '  push: false' >> {images}.dvc"
    yield f"git add {new}"
    yield f"git commit -m 'Data set {name}'"
    yield f"dvc exp run -S prepare.dataset={name}"
