"""Fetching a data set's images, where its own pipeline or a DVC remote has them."""

import os
import subprocess
import sys
from pathlib import Path

LONGEST = 300  # characters of what DVC says, whose end tells the most


def fetch(folder: Path) -> str:
    """Fetch what data/NAME lacks of its raw/; return why it could not be, or nothing.

    A set with a dvc.yaml is made by that; one of `localizer init` is pulled from the DVC remote.
    """
    if (folder / "dvc.yaml").is_file():
        return _dvc("repro", str(folder / "dvc.yaml"))
    tracked = [str(path) for path in sorted(folder.rglob("*.dvc"))]
    return _dvc("pull", *tracked) if tracked else ""


def _dvc(*arguments: str) -> str:
    # A set's own stage calls `python`, which must be this one, also where its environment is not activated.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PATH": path})
    said = " ".join(done.stderr.split())
    return f"dvc {arguments[0]}: {said[-LONGEST:]}" if done.returncode else ""
