"""The processes that train one model together, its ranks: what each takes, and what they tell one another."""

import hashlib
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}
REACH = timedelta(seconds=20)  # to find one another at the start
LONGEST = timedelta(hours=2)  # for one to wait for the others: the first decodes the images, and keeps checkpoints


@dataclass(frozen=True)
class Ranks:
    """The ranks as one of them sees them; as it is by default, one process that trains alone."""

    rank: int = 0
    world: int = 1
    group: "dist.ProcessGroup | None" = None

    @property
    def leads(self) -> bool:
        """Return whether this is the rank that writes, logs and keeps checkpoints."""
        return self.rank == 0

    def share(self, rows: Tensor) -> Tensor:
        """Return this rank's part of rows [N, ...]: the ranks' parts, one after the other, are the whole."""
        return rows.tensor_split(self.world)[self.rank]

    def total(self, tensor: Tensor) -> Tensor:
        """Return the sum of the ranks' tensors, which have one shape."""
        if self.group:
            dist.all_reduce(tensor, group=self.group)
        return tensor

    def whole(self, part: Tensor, rows: int) -> Tensor:
        """Return [rows, ...] of which each rank has its `share`."""
        if self.group is None:
            return part
        whole = torch.zeros(rows, *part.shape[1:], dtype=part.dtype)
        self.share(whole).copy_(part)
        return self.total(whole)

    def hand_out(self, content: bytes) -> bytes:
        """Return the first rank's bytes."""
        if self.group is None:
            return content
        size = torch.tensor([len(content)])
        dist.broadcast(size, 0, group=self.group)
        told = torch.empty(int(size), dtype=torch.uint8)
        if self.leads and content:
            told = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        dist.broadcast(told, 0, group=self.group)
        return told.numpy().tobytes()

    def adopt_buffers(self, *models: nn.Module) -> None:
        """Give all ranks the first one's buffers: BatchNorm's statistics, which each has of its own images."""
        for buffer in (buffer for model in models for buffer in model.buffers() if self.group):
            dist.broadcast(buffer, 0, group=self.group)

    def averaging(self, model: nn.Module, *, sync_batch_norm: bool) -> nn.Module:
        """Return the model such that its gradients become the mean of the ranks'.

        sync_batch_norm: whether BatchNorm sees the ranks' parts of a batch as one.
        """
        if self.group is None:
            return model
        if sync_batch_norm:
            nn.SyncBatchNorm.convert_sync_batchnorm(model, self.group)
        return DistributedDataParallel(model, process_group=self.group)

    def check_alike(self, facts: Mapping[str, str]) -> None:
        """Raise ValueError, on the rank that differs, which names the facts that aren't the first rank's."""
        mine = [hashlib.sha256(f"{name} {value}".encode()).digest() for name, value in facts.items()]
        first = self.hand_out(b"".join(mine))
        differing = [name for name, digest in zip(facts, mine, strict=True) if digest not in first]
        if differing:
            raise ValueError(
                f"rank {self.rank} on {socket.gethostname()}: {', '.join(differing)}: not as the first rank has it; "
                "all machines need the same commit, parameters, tables and versions"
            )

    def check_leader(self) -> None:
        """Raise ValueError where dvc has started one of the machines, but not the first: it would miss its outputs."""
        started_by_dvc = torch.zeros(self.world, dtype=torch.int64)
        started_by_dvc[self.rank] = "DVC_STAGE" in os.environ
        (dvc,) = torch.nonzero(self.total(started_by_dvc), as_tuple=True)
        if len(dvc) and int(dvc[0]):
            raise ValueError(
                f"`dvc repro` runs on the machine of rank {int(dvc[0])}, and rank 0 writes: give the machine that "
                "runs it PET_NODE_RANK=0"
            )


ALONE = Ranks()


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """Give the ranks of which torchrun has made this process one; without torchrun, those of a process alone.

    ConnectionError where they can't be reached, at the start or later.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield ALONE
        return
    name = f"rank {os.environ['RANK']} of {os.environ['WORLD_SIZE']} on {socket.gethostname()}"
    address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    with _told(f"{name} can't reach the others by way of {address} within {REACH.seconds} s"):
        _meet(BACKENDS[device.type])
        group = cast(dist.ProcessGroup, dist.new_group(timeout=LONGEST))  # all ranks are members
        ranks = Ranks(dist.get_rank(), dist.get_world_size(), group)
    with _told(f"{name} has lost the others"):
        ranks.check_leader()
        yield ranks
        dist.barrier(ranks.group)
        dist.destroy_process_group()


def _meet(backend: str) -> None:
    """Make the group of all ranks; one that torchrun has started again doesn't look for those of the last time."""
    store, rank, world = next(rendezvous("env://", timeout=REACH))
    kept = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"  # torchrun's own store, with what they left there
    store = dist.PrefixStore(  # type: ignore[attr-defined]
        os.environ["TORCHELASTIC_RESTART_COUNT"] if kept else "", store
    )
    dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=REACH)


def own_device(device: torch.device) -> torch.device:
    """Return the device of this process: with several on a machine each takes a GPU of its own.

    ValueError where there are fewer GPUs than processes.
    """
    if device.type != "cuda":
        return device
    local_rank, found = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
    if local_rank >= found:
        raise ValueError(
            f"{os.environ['LOCAL_WORLD_SIZE']} processes on this machine, each on a GPU of its own, and it has "
            f"{found}; lower train.processes, or set train.device to cpu"
        )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


@contextmanager
def _told(problem: str) -> Iterator[None]:
    """Turn the errors of a connection, for which gloo has no type of its own, into ConnectionError."""
    try:
        yield
    except RuntimeError as error:
        if not (isinstance(error, dist.DistError) or "gloo" in str(error) or "Connection" in str(error)):
            raise
        raise ConnectionError(f"{problem}: {str(error).splitlines()[0]}") from None
