"""Data sets that have a DVC stage of their own: `dvc repro` overwrites what a person changes in their outputs."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from shlex import quote
from typing import Any

PIPELINE, CONFIG = "dvc.yaml", "dataset.yaml"


def overwrite_warning(path: Path) -> str:
    """Return which outputs of a data set `dvc repro` would overwrite, and how to keep them; empty if none.

    path: the set's folder or a file in it.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    folders = (path.resolve(), *path.resolve().parents)
    folder = next((each for each in folders if (each / PIPELINE).is_file() and (each / CONFIG).is_file()), None)
    if folder is None:
        return ""
    try:
        with Repo(str(folder)) as repo:
            changed = _changed_outputs(repo, folder)
            return _warning(folder, changed, root=Path(repo.root_dir)) if changed else ""
    except (DvcException, ValueError):  # no DVC project, a broken one, or a broken config: fix these first
        return ""


def _changed_outputs(repo: Any, folder: Path) -> list[Any]:
    """Return the existing outputs in the folder that differ from its dvc.lock."""
    from localizer.pipeline.dvc_digest import compute_digest

    outs = [out for stage in repo.stage.load_all(str(folder / PIPELINE)) for out in stage.outs]
    inside = [out for out in outs if folder in Path(out.fs_path).parents and out.exists]
    return [out for out in inside if compute_digest(out) != out.hash_info.value]


def _warning(folder: Path, changed: list[Any], *, root: Path) -> str:
    names = ", ".join(Path(out.fs_path).relative_to(root).as_posix() for out in changed)
    pipeline = (folder / PIPELINE).relative_to(root)
    lines = [
        f"{names}: changed since {pipeline} wrote it; `dvc repro` will overwrite your changes.",
        "To keep them, copy the data set under another name, in the project's folder:",
    ]
    commands = _copy_commands(folder, root=root, can_push=all(out.can_push for out in changed))
    return "\n".join([*lines, *(f"  {command}" for command in commands)])


def _copy_commands(folder: Path, *, root: Path, can_push: bool) -> Iterator[str]:
    """Yield the commands that copy the set without its pipeline, and run the project on the copy."""
    from localizer.dataset import read_config_file

    names = (f"{folder.name}-mine{number or ''}" for number in count())
    name = next(each for each in names if not (folder.parent / each).exists())
    old = folder.relative_to(root)
    new = old.with_name(name)
    images = quote((new / "raw" / read_config_file(folder / CONFIG).images).as_posix())
    yield f"cp -r {old} {new}"
    yield f"rm -f {new}/{PIPELINE} {new}/dvc.lock {new}/.gitignore"
    yield f"dvc add {images}"
    if not can_push:
        yield f"echo '  push: false' >> {images}.dvc"
    yield f"git add {new}"
    yield f"git commit -m 'Data set {name}'"
    yield f"dvc exp run -S prepare.dataset={name}"
