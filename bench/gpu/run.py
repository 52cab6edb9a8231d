"""Running the parts one after the other, each in a process of its own, and the page of what came of them."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch

from bench import kept, turns
from bench.gpu import plan
from bench.gpu.plan import Part
from bench.kept import ROOT

OVERRUN = 2  # a part is ended after this many times its estimate, so that one that hangs costs no other its place
LAST_LINES = 20  # of a failed part, on the page
NO_GPU = "no usable GPU here (torch {}): PLAN=1 prints the plan, and `python -m bench.gpu --rehearse` runs it tiny"


@dataclass(frozen=True)
class Outcome:
    """What came of a part; told: why it was skipped, or its last lines if it failed."""

    part: str
    state: Literal["done", "failed", "skipped"]
    seconds: float
    estimate: int
    told: str = ""


def run(parts: Sequence[Part], folder: Path, *, seconds: float, rehearse: bool) -> int:
    """Run the parts within the seconds, and leave rows, log and page in the folder; return 1 if one failed, else 0."""
    if not rehearse and not torch.cuda.is_available():
        sys.exit(f"bench.gpu: {NO_GPU.format(torch.__version__)}")
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("rows.json", "parts.json", "page.md", "log.txt"):
        (folder / name).unlink(missing_ok=True)
    outcomes: list[Outcome] = []
    until = time.monotonic() + seconds
    for part in parts:
        outcomes.append(_outcome(part, folder, left=until - time.monotonic(), rehearse=rehearse))
        kept.write(folder / "parts.json", [asdict(one) for one in outcomes])
        (folder / "page.md").write_text(page(outcomes, rows(folder)), encoding="utf-8")
    print(f"\n{page(outcomes, rows(folder))}\nin {folder}")
    return int(any(one.state == "failed" for one in outcomes))


def rows(folder: Path) -> list[turns.Row]:
    """Return the rows that the parts have left so far."""
    path = folder / "rows.json"
    return [turns.Row(**row) for row in json.loads(path.read_text(encoding="utf-8"))] if path.exists() else []


def page(outcomes: Sequence[Outcome], measured: Sequence[turns.Row]) -> str:
    """Return the page: the parts, the rows, and the last lines of what failed."""
    lines = ["# On a GPU", "", f"Commit {kept.commit()}, torch {torch.__version__}.", ""]
    lines += ["| part | | seconds | estimate | |", "|---|---|---|---|---|"]
    lines += [
        f"| {one.part} | {one.state} | {one.seconds:.0f} | {one.estimate} | "
        f"{one.told if one.state == 'skipped' else ''} |"
        for one in outcomes
    ]
    lines += ["", *turns.table(measured)]
    for one in outcomes:
        if one.state == "failed":
            lines += ["", f"## {one.part} failed", "", "```", one.told, "```"]
    return "\n".join(lines) + "\n"


def _outcome(part: Part, folder: Path, *, left: float, rehearse: bool) -> Outcome:
    """Run a part, or say why not."""
    if why := _obstacle(part, left=left, rehearse=rehearse):
        return Outcome(part.name, "skipped", 0, part.seconds, why)
    limit = left if rehearse else min(left, OVERRUN * part.seconds)
    print(f"\n{part.name}: at most {limit:.0f} s", flush=True)
    started = time.monotonic()
    status, output = _process(part, folder, limit=limit, rehearse=rehearse)
    took = round(time.monotonic() - started, 1)
    if status == 0:
        return Outcome(part.name, "done", took, part.seconds)
    ended = [f"ended after {took:.0f} s: it took too long"] if status < 0 and took >= limit else []
    return Outcome(part.name, "failed", took, part.seconds, "\n".join(output[-LAST_LINES:] + ended))


def _obstacle(part: Part, *, left: float, rehearse: bool) -> str:
    """Return why a part can't run; empty if it can."""
    if lacking := plan.missing(part.needs):
        return plan.wheels(lacking)
    if part.carried and not (rehearse or (ROOT / plan.PACK).exists()):
        return f"{plan.PACK} is missing: {plan.PACK_HELP}, where the pipeline is"
    if left < (0 if rehearse else part.seconds):
        return f"{max(0, left):.0f} s are left"
    return ""


def _process(part: Part, folder: Path, *, limit: float, rehearse: bool) -> tuple[int, list[str]]:
    """Run a part in a process; return its status, negative if it was ended, and what it printed, also in log.txt."""
    command = [sys.executable, "-m", "bench.gpu", "--part", part.name, *(["--rehearse"] if rehearse else [])]
    env = os.environ | {"OUT": str(folder.absolute()), "PYTHONUNBUFFERED": "1"}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    started = subprocess.Popen(
        command,
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # so that what it has started ends with it
    )
    timer = threading.Timer(limit, os.killpg, (started.pid, signal.SIGKILL))
    lines = []
    with started as process, (folder / "log.txt").open("a", encoding="utf-8") as log:
        timer.start()
        for line in process.stdout or ():
            lines.append(line.rstrip())
            log.write(f"{part.name}: {line}")
            log.flush()
            print(line, end="", flush=True)
    timer.cancel()
    return process.returncode, lines
