"""What the benches keep: rows in bench/results/NAME.json, each with the commit that it was measured at."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from localizer.files import replace_text

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results"


def commit() -> str:
    """Return the commit of this checkout, `-dirty` if it was changed; in a copy without history what COMMIT says."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get("COMMIT") or "unknown"


def rows(name: str) -> list[dict[str, Any]]:
    """Return the rows that are kept under a name, none at first."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def has(name: str, told: Mapping[str, Any]) -> bool:
    """Return whether a row has all these values."""
    return any(told.items() <= row.items() for row in rows(name))


def add(name: str, row: Mapping[str, Any]) -> None:
    """Keep one more row."""
    write(RESULTS / f"{name}.json", [*rows(name), row])


def write(path: Path, content: Sequence[Mapping[str, Any]]) -> None:
    """Write rows to a file, in place of what it had."""
    replace_text(path, json.dumps([dict(row) for row in content], indent=1) + "\n")
