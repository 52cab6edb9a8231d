"""Starting the ranks of a training with torchrun, which is configured by PET_ environment variables."""

import hashlib
import logging
import os
import signal
import socket
import sys
import time
from pathlib import Path

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.elastic.rendezvous import RendezvousError, RendezvousTimeoutError
from torch.distributed.run import parse_args, run

import localizer
from localizer.files import file_sha256
from localizer.training.distributed import join_timeout

NODES = "PET_NNODES"
SETTINGS = {
    "PET_RDZV_CONF": "timeout=20,join_timeout=20,read_timeout=20",  # seconds in which all machines must join
    "PET_SHUTDOWN_TIMEOUT": "15",  # seconds until a rank that does not end is killed
    "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",  # a restart would find the last start's addresses
}


def needs_launch(processes: int) -> bool:
    """Return whether this process must start ranks: it is none itself, and there are several, here or elsewhere."""
    return "TORCHELASTIC_RUN_ID" not in os.environ and (processes > 1 or os.environ.get(NODES, "1") != "1")


def launch(script: str, *, processes: int) -> int:
    """Run the script as `processes` ranks on this machine, and return the exit status.

    The other settings are torchrun's environment variables: PET_NNODES, PET_NODE_RANK, PET_MASTER_ADDR,
    PET_MASTER_PORT, PET_MAX_RESTARTS and so on. Raises ConnectionError if the other machines can't be reached.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // processes)))
    logging.getLogger("torch.distributed.elastic.multiprocessing.api").setLevel(logging.CRITICAL)  # ranks report errors
    options = parse_args([f"--nproc-per-node={processes}", script])
    where = options.rdzv_endpoint or f"{options.master_addr}:{options.master_port}"
    if options.nnodes != "1":
        print(f"train: waiting at {where} for {options.nnodes} machines to join", flush=True)
    try:
        if options.rdzv_backend == "static" and options.node_rank > 0:
            _wait_for_first(where, seconds=join_timeout().total_seconds())
        run(options)
    except SignalException as stopped:
        return 128 + int(stopped.sigval)
    except ChildFailedError as failed:
        return _status(failed.failures)
    except (RendezvousError, RuntimeError) as error:
        why = str(error).splitlines() or [type(error).__name__]
        raise ConnectionError(
            f"the {options.nnodes} machines did not all join at {where} ({options.rdzv_backend}, "
            f"{options.rdzv_conf}): {why[0]}"
        ) from None
    return 0


def _wait_for_first(address: str, *, seconds: float) -> None:
    """Wait until the first machine answers; RendezvousTimeoutError after `seconds`, a third of what torch waits."""
    host, _, port = address.rpartition(":")
    until = time.monotonic() + seconds
    while True:
        try:
            left = max(1.0, until - time.monotonic())
            socket.create_connection((host.strip("[]"), int(port)), timeout=left).close()
        except OSError as error:
            if time.monotonic() > until:
                raise RendezvousTimeoutError(str(error)) from None
            time.sleep(0.2)
        else:
            return


def cores() -> int:
    """Return the number of cores that this process may use; all of them on macOS, which has no affinity."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def code_digest(script: Path) -> str:
    """Return a SHA-256 over the code that ranks run: the script and the package's files, with their names."""
    package = Path(str(localizer.__file__)).parent
    files = sorted(package.rglob("*.py"))
    digests = [file_sha256(script), *(f"{file_sha256(path)} {path.relative_to(package).as_posix()}" for path in files)]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _status(failures: dict[int, ProcessFailure]) -> int:
    """Return the exit status of the rank that failed first; print the signal that ended it, if any."""
    rank, first = min(failures.items(), key=lambda item: (item[1].exitcode >= 0, item[1].timestamp))
    if first.exitcode >= 0:
        return first.exitcode  # the rank has printed its error
    name = signal.Signals(-first.exitcode).name
    print(
        f"train: rank {rank} (process {first.pid}) was ended by {name}, and the others with it; the next start resumes "
        "after the last checkpoint",
        file=sys.stderr,
    )
    return 128 - first.exitcode
