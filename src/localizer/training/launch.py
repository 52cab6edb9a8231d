"""Starting the ranks of a training: by torchrun, whose settings are the environment's PET_ variables."""

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
    "PET_RDZV_CONF": "timeout=20,join_timeout=20,read_timeout=20",  # seconds in which all machines must have met
    "PET_SHUTDOWN_TIMEOUT": "15",  # seconds until a rank that doesn't end is killed
    "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",  # a restart would find the addresses of ranks that are gone
}


def needs_launch(processes: int) -> bool:
    """Return whether this process is to start ranks, and isn't one: several here, or some on other machines too."""
    return "TORCHELASTIC_RUN_ID" not in os.environ and (processes > 1 or os.environ.get(NODES, "1") != "1")


def launch(script: str, *, processes: int) -> int:
    """Run the script as so many ranks on this machine, and return an exit status when all have ended.

    What isn't told here torchrun takes from the environment: PET_NNODES, PET_NODE_RANK, PET_MASTER_ADDR,
    PET_MASTER_PORT, PET_MAX_RESTARTS and so on. ConnectionError where the other machines can't be reached.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // processes)))
    logging.getLogger("torch.distributed.elastic.multiprocessing.api").setLevel(logging.CRITICAL)  # ranks tell enough
    options = parse_args([f"--nproc-per-node={processes}", script])
    where = options.rdzv_endpoint or f"{options.master_addr}:{options.master_port}"
    if options.nnodes != "1":
        print(f"train: waits at {where} for the {options.nnodes} machines to meet", flush=True)
    try:
        if options.rdzv_backend == "static" and options.node_rank > 0:
            _find_first(where, seconds=join_timeout().total_seconds())
        run(options)
    except SignalException as stopped:
        return 128 + int(stopped.sigval)
    except ChildFailedError as failed:
        return _status(failed.failures)
    except (RendezvousError, RuntimeError) as error:
        why = str(error).splitlines() or [type(error).__name__]
        raise ConnectionError(
            f"the {options.nnodes} machines did not all meet at {where} ({options.rdzv_backend}, "
            f"{options.rdzv_conf}): {why[0]}"
        ) from None
    return 0


def _find_first(address: str, *, seconds: float) -> None:
    """Return when the first machine answers; RendezvousTimeoutError after so long, for torch tries thrice as long."""
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
    """Return how many cores this process may use; on macOS, which doesn't say, all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def code_digest(script: Path) -> str:
    """Return a digest of the code that ranks run: the script, and this package's files with their names."""
    package = Path(str(localizer.__file__)).parent
    files = sorted(package.rglob("*.py"))
    told = [file_sha256(script), *(f"{file_sha256(path)} {path.relative_to(package).as_posix()}" for path in files)]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def _status(failures: dict[int, ProcessFailure]) -> int:
    """Return the exit status of the rank whose failure came first; say which signal ended it, if one did."""
    rank, first = min(failures.items(), key=lambda item: (item[1].exitcode >= 0, item[1].timestamp))
    if first.exitcode >= 0:
        return first.exitcode  # it has told itself what was wrong
    name = signal.Signals(-first.exitcode).name
    print(
        f"train: rank {rank} (process {first.pid}) was ended by {name}, and the others with it; the next start goes "
        "on after the last epoch that was kept",
        file=sys.stderr,
    )
    return 128 - first.exitcode
