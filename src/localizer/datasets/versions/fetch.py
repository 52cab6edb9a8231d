"""Fetching a data set's raw/ by its own dvc.yaml or from a DVC remote."""

import os
import subprocess
import sys
from pathlib import Path

MAX_LENGTH = 300  # characters of DVC's error; the end has the cause


def fetch(folder: Path) -> str:
    """Fetch what is missing in data/NAME/raw; return why that failed, empty if it did not.

    `dvc repro` runs the set's dvc.yaml, if it has one; else `dvc pull` fetches what `localizer init` added to DVC.
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
    error = " ".join(done.stderr.split())
    return f"dvc {arguments[0]}: {error[-MAX_LENGTH:]}" if done.returncode else ""
