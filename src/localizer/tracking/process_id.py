"""Ids of processes that stay unique after the process has ended, even if its pid is used again.

An id is `host:pid:start tick`. The tick is the kernel's: a time of day would move when the clock is set.
"""

import os
import re
import socket
from pathlib import Path

import psutil


def own_process_id() -> str:
    return process_id(os.getpid())


def pipeline_process_id() -> str:
    """Return the id of the process that executes the pipeline: dvc's, or this one's if a person started it."""
    return process_id(_pipeline_process().pid)


def is_forced() -> bool:
    """Return whether dvc runs every stage, changed or not (`-f`)."""
    return any(re.fullmatch("--force|-[a-zA-Z]*f[a-zA-Z]*", word) for word in _pipeline_process().cmdline())


def process_id(pid: int) -> str:
    """Return the id of the process that has the pid now."""
    return f"{socket.gethostname()}:{pid}:{_start_tick(pid)}"


def has_ended(process: str) -> bool:
    """Return whether the process of an id has ended; one on another host counts as running."""
    host, pid, tick = process.rsplit(":", 2)
    return host == socket.gethostname() and _start_tick(int(pid)) != int(tick)


def _pipeline_process() -> psutil.Process:
    """Return the nearest process that was started without DVC_STAGE, which DVC sets for every stage."""
    here = psutil.Process()
    return next((process for process in (here, *here.parents()) if not _is_in_stage(process)), here)


def _is_in_stage(process: psutil.Process) -> bool:
    try:
        return "DVC_STAGE" in process.environ()
    except (psutil.Error, OSError):
        return False  # another user's process, or one that has just ended: no stage of ours


def _start_tick(pid: int) -> int:
    """Return when the process started, in ticks since boot; -1 if it has ended."""
    if not Path("/proc/self/stat").exists():
        return int(psutil.Process(pid).create_time()) if psutil.pid_exists(pid) else -1
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return -1
    state, *fields = stat.rpartition(")")[2].split()
    return -1 if state in "ZX" else int(fields[18])  # a zombie has ended, even if its parent never collects it
