"""The processes that train one model together, its ranks: what each takes, and what they tell one another."""

import json
import os
import re
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
REACH_S = 20  # to find one another at the start, unless PET_RDZV_CONF says otherwise
SILENCE = timedelta(minutes=5)  # of one while all are at the same work: it must have lost power or network, or hang
LONGEST = timedelta(hours=2)  # for one to wait while another decodes, or the first records, draws, and saves the model
LOST = ("gloo", "Connection", "pair closure")  # in the messages of a connection that has broken or was given up
SOURCE = re.compile(r"\[[^\[\]]*\.(?:cc|cpp|h):\d+\] *")  # the place in gloo's own code, in its messages


@dataclass(frozen=True)
class Ranks:
    """The ranks as one of them sees them; as it is by default, one process that trains alone.

    group: for work that all do at the same time, which fails after SILENCE; patient: where they wait for one another.
    """

    rank: int = 0
    world_size: int = 1
    group: "dist.ProcessGroup | None" = None
    patient: "dist.ProcessGroup | None" = None

    @property
    def is_main(self) -> bool:
        """Return whether this is the rank that writes, logs and keeps checkpoints."""
        return self.rank == 0

    def shard(self, rows: Tensor) -> Tensor:
        """Return this rank's part of rows [N, ...]: the ranks' parts, one after the other, are the whole."""
        return rows.tensor_split(self.world_size)[self.rank]

    def wait_for_main(self) -> None:
        """Return when the first rank has come here, however long it has worked alone.

        Each waits for it and not for the others, and it for nobody who waits: one that falls silent meanwhile is
        noticed in the work that comes next.
        """
        if self.patient and self.is_main:
            for other in range(1, self.world_size):
                dist.send(torch.zeros(1), other, group=self.patient)
        elif self.patient:
            dist.recv(torch.zeros(1), 0, group=self.patient)

    def all_reduce(self, tensor: Tensor) -> Tensor:
        """Return the sum of the ranks' tensors, which have one shape."""
        if self.group:
            dist.all_reduce(tensor, group=self.group)
        return tensor

    def gather_rows(self, part: Tensor, rows: int) -> Tensor:
        """Return [rows, ...] of which each rank has its `share`."""
        if self.group is None:
            return part
        whole = torch.zeros(rows, *part.shape[1:], dtype=part.dtype)
        self.shard(whole).copy_(part)
        return self.all_reduce(whole)

    def broadcast(self, content: bytes) -> bytes:
        """Return the first rank's bytes, for which it may have worked alone."""
        if self.patient is None:
            return content
        size = torch.tensor([len(content)])
        dist.broadcast(size, 0, group=self.patient)
        told = torch.empty(int(size), dtype=torch.uint8)
        if self.is_main and content:
            told = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        dist.broadcast(told, 0, group=self.patient)
        return told.numpy().tobytes()

    def all_gather(self, content: bytes) -> list[bytes]:
        """Return every rank's bytes."""
        sizes = torch.zeros(self.world_size, dtype=torch.int64)
        sizes[self.rank] = len(content)
        table = torch.zeros(self.world_size, int(self.all_reduce(sizes).max()), dtype=torch.uint8)
        table[self.rank, : len(content)] = torch.tensor([*content], dtype=torch.uint8)
        return [row[:size].numpy().tobytes() for row, size in zip(self.all_reduce(table), sizes.tolist(), strict=True)]

    def broadcast_buffers(self, *models: nn.Module) -> None:
        """Give all ranks the first one's buffers: BatchNorm's statistics, which each has of its own images."""
        for buffer in (buffer for model in models for buffer in model.buffers() if self.group):
            dist.broadcast(buffer, 0, group=self.group)

    def wrap_ddp(self, model: nn.Module, *, sync_batch_norm: bool) -> nn.Module:
        """Return the model such that its gradients become the mean of the ranks', once all of them have come here.

        sync_batch_norm: whether BatchNorm sees the ranks' parts of a batch as one; ValueError on a CPU, which can't.
        """
        if self.world_size > 1 and sync_batch_norm and not all(weight.is_cuda for weight in model.parameters()):
            raise ValueError(
                "train.sync_batch_norm in params.yaml is true, on a CPU, and torch has it for GPUs only: set it to "
                "false, or train on GPUs"
            )
        if self.group is None:
            return model
        dist.barrier(self.patient)  # each decodes the images, or waits for who does
        if sync_batch_norm:
            nn.SyncBatchNorm.convert_sync_batchnorm(model, self.group)
        return DistributedDataParallel(model, process_group=self.group)

    def check_consistent(self, facts: Mapping[str, str]) -> None:
        """Raise ValueError, on all ranks, where the facts aren't everywhere the first rank's; it names who differs."""
        mine = {"host": socket.gethostname(), "facts": dict(facts)}
        first, *others = map(json.loads, self.all_gather(json.dumps(mine).encode()))
        odd: dict[tuple[str, ...], str] = {}  # of the ranks of a machine that differ in the same way the first
        for rank, other in enumerate(others, start=1):
            theirs, expected = other["facts"], first["facts"]
            differing = [name for name in {**expected, **theirs} if theirs.get(name) != expected.get(name)]
            if differing:
                told = f"rank {rank} on {other['host']}: {', '.join(differing)}"
                odd.setdefault((other["host"], *differing), told)
        if odd:
            raise ValueError(
                f"{'; '.join(odd.values())}: not as rank 0 on {first['host']} has it; all machines need the same "
                "commit, parameters, tables and versions"
            )

    def check_leader(self) -> None:
        """Raise ValueError where dvc has started one of the machines, but not the first: it would miss its outputs."""
        started_by_dvc = torch.zeros(self.world_size, dtype=torch.int64)
        started_by_dvc[self.rank] = "DVC_STAGE" in os.environ
        (dvc,) = torch.nonzero(self.all_reduce(started_by_dvc), as_tuple=True)
        if len(dvc) and int(dvc[0]):
            raise ValueError(
                f"`dvc repro` runs on the machine of rank {int(dvc[0])}, and rank 0 writes: give the machine that "
                "runs it PET_NODE_RANK=0"
            )


ALONE = Ranks()


@contextmanager
def process_group(device: torch.device) -> Iterator[Ranks]:
    """Give the ranks of which torchrun has made this process one; without torchrun, those of a process alone.

    ConnectionError where they can't be reached, at the start or later.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield ALONE
        return
    name = f"rank {os.environ['RANK']} of {os.environ['WORLD_SIZE']} on {socket.gethostname()}"
    address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    with connecting(f"{name} can't reach the others by way of {address} within {join_timeout().total_seconds():.0f} s"):
        _meet(BACKENDS[device.type])
        group = cast(dist.ProcessGroup, dist.new_group(timeout=SILENCE))  # all ranks are members
        patient = cast(dist.ProcessGroup, dist.new_group(backend="gloo", timeout=LONGEST))
        ranks = Ranks(dist.get_rank(), dist.get_world_size(), group, patient)
    with connecting(f"{name} has lost the others"):
        ranks.check_leader()
        yield ranks
        ranks.wait_for_main()
        dist.destroy_process_group()


def join_timeout() -> timedelta:
    """Return how long ranks look for one another at the start: as long as torchrun is told to for machines."""
    told = re.findall(r"\b(?:join_)?timeout=(\d+)", os.environ.get("PET_RDZV_CONF", ""))
    return timedelta(seconds=max(map(int, told), default=REACH_S))


def _meet(backend: str) -> None:
    """Make the group of all ranks; one that torchrun has started again doesn't look for those of the last time."""
    store, rank, world = next(rendezvous("env://", timeout=join_timeout()))
    kept = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"  # torchrun's own store, with what they left there
    store = dist.PrefixStore(  # type: ignore[attr-defined]
        os.environ["TORCHELASTIC_RESTART_COUNT"] if kept else "", store
    )
    dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=join_timeout())


def local_device(device: torch.device) -> torch.device:
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
def connecting(problem: str) -> Iterator[None]:
    """Turn the errors of a connection, for which gloo has no type of its own, into ConnectionError."""
    try:
        yield
    except RuntimeError as error:
        if not (isinstance(error, dist.DistError) or any(sign in str(error) for sign in LOST)):
            raise
        why = SOURCE.sub("", str(error)).strip().partition("\n")[0]
        raise ConnectionError(f"{problem}: {why}") from None
