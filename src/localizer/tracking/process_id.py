"""Who runs: processes by a name that outlives them, so that a pid in use again is not taken for the old one.

A name is `host:pid:start tick`. The tick comes from the kernel: a time of day would move with the clock.
"""

import os
import re
import socket
from pathlib import Path

import psutil


def this_process() -> str:
    """Return the name of this process."""
    return named(os.getpid())


def this_execution() -> str:
    """Return the name of the process that executes the pipeline: dvc's, or this one when run by hand.

    DVC gives every stage DVC_STAGE, so it is the nearest process that was started without it.
    """
    return named(_executing().pid)


def is_forced() -> bool:
    """Return whether dvc was told to run every stage, changed or not (`-f`)."""
    return any(re.fullmatch("--force|-[a-zA-Z]*f[a-zA-Z]*", word) for word in _executing().cmdline())


def named(pid: int) -> str:
    """Return the name of the process that has the pid now."""
    return f"{socket.gethostname()}:{pid}:{_start_tick(pid)}"


def is_gone(name: str) -> bool:
    """Return whether the named process has ended; what runs on another host counts as running."""
    host, pid, tick = name.rsplit(":", 2)
    return host == socket.gethostname() and _start_tick(int(pid)) != int(tick)


def _executing() -> psutil.Process:
    here = psutil.Process()
    return next((process for process in (here, *here.parents()) if not _is_in_stage(process)), here)


def _is_in_stage(process: psutil.Process) -> bool:
    try:
        return "DVC_STAGE" in process.environ()
    except (psutil.Error, OSError):
        return False  # another user's process, or one that has just ended: not a stage of ours


def _start_tick(pid: int) -> int:
    """Return when the process started, in ticks since boot; -1 when it has ended."""
    if not Path("/proc/self/stat").exists():
        return int(psutil.Process(pid).create_time()) if psutil.pid_exists(pid) else -1
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return -1
    state, *fields = stat.rpartition(")")[2].split()
    return -1 if state in "ZX" else int(fields[18])  # a zombie has ended, even if no one ever collects it
