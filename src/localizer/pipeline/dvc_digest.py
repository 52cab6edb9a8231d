"""DVC's digest of what a stage reads or writes; that of a folder of many files is found by a process of its own.

DVC takes 2 KB of memory a file for it, and gives little of it back. `python -m localizer.pipeline.dvc_digest PATH`
prints the digest of a dependency or an output of the pipeline.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

MANY = 50_000  # files: DVC looks at fewer in less than the time in which a process starts


def has_many_files(item: Any) -> bool:
    """Return whether a dependency or output is a folder with MANY files below it, or more."""
    path = Path(item.fs_path)
    return path.is_dir() and sum(len(names) for _, _, names in os.walk(path)) >= MANY


def digest(item: Any) -> Any:
    """Return the digest of a dependency or output, which is there, as it is now; of params, their values.

    Raises RuntimeError, with what the other process wrote, if it failed.
    """
    if not has_many_files(item):
        return item.get_hash().value
    command = [sys.executable, "-m", __name__, str(item.fs_path)]
    code = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, cwd=item.repo.root_dir, env=code, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{item.fs_path}: DVC can't tell its digest:\n{done.stderr}")
    return done.stdout.strip()


def main() -> None:
    from dvc.repo import Repo

    (path,) = sys.argv[1:]
    with Repo() as repo:
        items = [item for stage in repo.index.stages for item in (*stage.deps, *stage.outs) if item.fs_path == path]
        print(items[0].get_hash().value)


if __name__ == "__main__":
    main()
