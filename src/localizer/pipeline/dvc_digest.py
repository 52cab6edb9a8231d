"""DVC's digest of a dependency or output, computed in a process of its own for a folder of many files.

DVC needs 2 KB of memory per file for it, and frees little of that. `python -m localizer.pipeline.dvc_digest PATH`
prints the digest of a dependency or output of the pipeline.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

MANY = 50_000  # files: DVC hashes fewer in less time than a process takes to start


def file_md5(path: Path) -> str:
    """Return the MD5 of a file's content as hex digits, by which DVC and MLflow's tags identify it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def has_many_files(item: Any) -> bool:
    """Return whether a dependency or output is a folder with at least MANY files below it."""
    path = Path(item.fs_path)
    return path.is_dir() and sum(len(names) for _, _, names in os.walk(path)) >= MANY


def compute_digest(item: Any) -> Any:
    """Return the present digest of an existing dependency or output; for params, their values.

    RuntimeError has what the other process printed, if it failed.
    """
    if not has_many_files(item):
        return item.get_hash().value
    done = subprocess.run(
        [sys.executable, "-m", __name__, str(item.fs_path)],
        cwd=item.repo.root_dir,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{item.fs_path}: DVC can't compute its digest:\n{done.stderr}")
    return done.stdout.strip()


def main() -> None:
    from dvc.repo import Repo

    (path,) = sys.argv[1:]
    with Repo() as repo:
        items = [item for stage in repo.index.stages for item in (*stage.deps, *stage.outs) if item.fs_path == path]
        print(items[0].get_hash().value)


if __name__ == "__main__":
    main()
