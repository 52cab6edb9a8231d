"""The certificate: what was compared, with what, on which machine, and the verdict."""

import json
import platform
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from localizer.files import replace_text
from localizer.verification.compare_outputs import Compared
from localizer.verification.reproduce import LEFT_OUT, Proof

FORMAT = 1


def write(path: Path, proof: Proof) -> None:
    """Write the certificate as JSON; of two that found the same, only the time differs."""
    values = {
        "format": FORMAT,
        "verdict": "same" if proof.same else "differs",
        "commit": proof.commit,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "sha256": proof.digests,
        "environment": _environment(proof.device),
        "stages": [{"stage": rerun.stage, "outputs": [_row(one) for one in rerun.outputs]} for rerun in proof.reruns],
        "left_out": LEFT_OUT,
        "differences": proof.differences,
    }
    replace_text(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def made_with(path: Path, weights: Compared) -> str | None:
    """Return with what the workspace's weights came about, if an earlier certificate at the path says so."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        known = [one for stage in values["stages"] for one in stage["outputs"] if one["path"] == weights.path]
        if not weights.workspace or weights.workspace not in {one["rerun"] for one in known}:
            return None
        return told(values["environment"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # none, or of another format


def told(environment: dict[str, Any]) -> str:
    """Return in one line what the last bits of weights depend on."""
    versions = f"Python {environment['python']}, torch {environment['packages'].get('torch')}"
    return f"{versions}, {environment['cpu']}, {environment['device']}"


def _row(output: Compared) -> dict[str, Any]:
    digests = {"workspace": output.workspace, "lock": output.locked, "rerun": output.rerun}
    return {"path": output.path, **digests, "same": output.same}


def _environment(device: Any) -> dict[str, Any]:
    import torch

    from localizer.device import choose_device, describe

    versions = {package.metadata["Name"]: package.version for package in distributions()}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "device": describe(choose_device(device)),
        "threads": torch.get_num_threads(),
        "packages": dict(sorted(versions.items(), key=lambda item: item[0].lower())),
    }


def _cpu() -> str:
    """Return the processor's model, as the system calls it."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8", errors="replace").splitlines() if facts.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
