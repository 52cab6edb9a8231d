"""The certificate: what was compared, on which machine, and the verdict."""

import json
import platform
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from localizer.files import replace_text
from localizer.verification.compare_outputs import OutputComparison
from localizer.verification.reproduce import NOT_COMPARED, Reproduction

FORMAT = 1


def write_certificate(path: Path, reproduction: Reproduction) -> None:
    """Write the certificate as JSON; for equal results only the time differs."""
    values = {
        "format": FORMAT,
        "verdict": "same" if reproduction.same else "differs",
        "commit": reproduction.commit,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "sha256": reproduction.digests,
        "environment": _environment(reproduction),
        "stages": [
            {"stage": rerun.stage, "outputs": [_row(output) for output in rerun.outputs]}
            for rerun in reproduction.reruns
        ],
        "left_out": NOT_COMPARED,
        "differences": reproduction.differences,
    }
    replace_text(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def recorded_environment(path: Path, weights: OutputComparison) -> str | None:
    """Return the environment of the workspace's weights, if an earlier certificate at `path` is about the same ones."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        outputs = [output for stage in values["stages"] for output in stage["outputs"]]
        if not weights.workspace or (weights.path, weights.workspace) not in {(o["path"], o["rerun"]) for o in outputs}:
            return None
        environment = values["environment"]
        versions = f"Python {environment['python']}, torch {environment['packages'].get('torch')}"
        return f"{versions}, {environment['cpu']}, {environment['device']}"
    except (OSError, ValueError, KeyError, TypeError):
        return None  # missing, or of another format


def _row(output: OutputComparison) -> dict[str, Any]:
    digests = {"workspace": output.workspace, "lock": output.locked, "rerun": output.rerun}
    return {"path": output.path, **digests, "same": output.same}


def _environment(reproduction: Reproduction) -> dict[str, Any]:
    import torch

    from localizer.device import choose_device, describe, set_threads

    if isinstance(reproduction.threads, int) and reproduction.threads > 0:
        set_threads(reproduction.threads)  # as the stage train did

    versions = {package.metadata["Name"]: package.version for package in distributions()}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "device": describe(choose_device(reproduction.device)),
        "threads": torch.get_num_threads(),
        "packages": dict(sorted(versions.items(), key=lambda item: item[0].lower())),
    }


def cpu_name() -> str:
    """Return the processor's model name."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines() if cpuinfo.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())
