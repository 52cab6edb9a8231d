"""Distributed training: the ranks, their shards, and what they exchange."""

import json
import os
import re
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}
JOIN_S = 20  # in which all ranks must join, unless PET_RDZV_CONF sets it
STEP_TIMEOUT = timedelta(minutes=5)  # in joint work: a rank that takes longer hangs, or has lost power or network
WAIT_TIMEOUT = timedelta(hours=2)  # while one rank decodes, or the main one records, draws and saves the model
CONNECTION_ERRORS = ("gloo", "Connection", "pair closure")  # in messages of errors that have no type of their own
SOURCE_LINE = re.compile(r"\[[^\[\]]*\.(?:cc|cpp|h):\d+\] *")  # of gloo's code, in its messages


@dataclass(frozen=True)
class Ranks:
    """The ranks of a training as seen by one of them; by default a single process.

    group: for joint work, with STEP_TIMEOUT; wait_group: for waiting on one another, with WAIT_TIMEOUT.
    """

    rank: int = 0
    world_size: int = 1
    group: "dist.ProcessGroup | None" = None
    wait_group: "dist.ProcessGroup | None" = None

    @property
    def is_main(self) -> bool:
        """Whether this rank writes outputs, logs and keeps checkpoints."""
        return self.rank == 0

    def shard(self, rows: Tensor) -> Tensor:
        """Return this rank's shard of rows [N, ...]; the shards in rank order are the rows."""
        return rows.tensor_split(self.world_size)[self.rank]

    def wait_for_main(self) -> None:
        """Wait until the main rank gets here, up to WAIT_TIMEOUT.

        The ranks wait for the main one only, and it for none: a rank that has failed is noticed in the next joint work.
        """
        if self.wait_group and self.is_main:
            for other in range(1, self.world_size):
                dist.send(torch.zeros(1), other, group=self.wait_group)
        elif self.wait_group:
            dist.recv(torch.zeros(1), 0, group=self.wait_group)

    def all_reduce(self, tensor: Tensor) -> Tensor:
        """Return the sum of the ranks' tensors of one shape."""
        if self.group:
            dist.all_reduce(tensor, group=self.group)
        return tensor

    def gather_rows(self, shard: Tensor, rows: int) -> Tensor:
        """Return the rows [rows, ...] of which each rank has its shard."""
        if self.group is None:
            return shard
        gathered = torch.zeros(rows, *shard.shape[1:], dtype=shard.dtype)
        self.shard(gathered).copy_(shard)
        return self.all_reduce(gathered)

    def broadcast(self, content: bytes) -> bytes:
        """Return the main rank's bytes; waits for it up to WAIT_TIMEOUT."""
        if self.wait_group is None:
            return content
        size = torch.tensor([len(content)])
        dist.broadcast(size, 0, group=self.wait_group)
        received = torch.empty(int(size), dtype=torch.uint8)
        if self.is_main and content:
            received = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        dist.broadcast(received, 0, group=self.wait_group)
        return received.numpy().tobytes()

    def all_gather(self, content: bytes) -> list[bytes]:
        """Return every rank's bytes, in rank order."""
        sizes = torch.zeros(self.world_size, dtype=torch.int64)
        sizes[self.rank] = len(content)
        table = torch.zeros(self.world_size, int(self.all_reduce(sizes).max()), dtype=torch.uint8)
        table[self.rank, : len(content)] = torch.tensor([*content], dtype=torch.uint8)
        return [row[:size].numpy().tobytes() for row, size in zip(self.all_reduce(table), sizes.tolist(), strict=True)]

    def broadcast_tensors(self, tensors: Iterable[Tensor]) -> None:
        """Copy the main rank's tensors to all ranks, in place."""
        for tensor in tensors if self.group else ():
            dist.broadcast(tensor, 0, group=self.group)

    def prepare_model(self, model: nn.Module, *, sync_batch_norm: bool) -> None:
        """Give all ranks the main rank's model, in place; a single process changes nothing.

        sync_batch_norm: compute BatchNorm over the batch of all ranks; ValueError on a CPU, where torch has none.
        """
        if self.world_size > 1 and sync_batch_norm and not all(weight.is_cuda for weight in model.parameters()):
            raise ValueError(
                "train.sync_batch_norm: expected false on a CPU, got true (torch has it for GPUs only); set it to false"
            )
        if self.group is None:
            return
        dist.barrier(self.wait_group)  # one rank per machine decodes the images, the others wait
        self.broadcast_tensors(model.state_dict().values())
        if sync_batch_norm:
            nn.SyncBatchNorm.convert_sync_batchnorm(model, self.group)

    def check_consistent(self, inputs: Mapping[str, str]) -> None:
        """Raise ValueError, on all ranks, if inputs differ from the main rank's; it names ranks and inputs."""
        mine = {"host": socket.gethostname(), "inputs": dict(inputs)}
        first, *others = map(json.loads, self.all_gather(json.dumps(mine).encode()))
        reports: dict[tuple[str, ...], str] = {}  # of ranks on one machine that differ alike, only the first
        for rank, other in enumerate(others, start=1):
            theirs, expected = other["inputs"], first["inputs"]
            differing = [name for name in {**expected, **theirs} if theirs.get(name) != expected.get(name)]
            if differing:
                report = f"rank {rank} on {other['host']}: {', '.join(differing)}"
                reports.setdefault((other["host"], *differing), report)
        if reports:
            raise ValueError(
                f"{'; '.join(reports.values())}: not as on rank 0 on {first['host']}; all machines need the same "
                "commit, parameters, tables and versions"
            )

    def check_dvc_rank(self) -> None:
        """Raise ValueError if `dvc repro` runs on a machine other than the main rank's, where no outputs appear."""
        started_by_dvc = torch.zeros(self.world_size, dtype=torch.int64)
        started_by_dvc[self.rank] = "DVC_STAGE" in os.environ
        (dvc,) = torch.nonzero(self.all_reduce(started_by_dvc), as_tuple=True)
        if len(dvc) and int(dvc[0]):
            raise ValueError(
                f"expected `dvc repro` on the machine of rank 0, which writes the outputs, got rank {int(dvc[0])}; set "
                "PET_NODE_RANK=0 on the machine that runs dvc"
            )


ALONE = Ranks()


class GradientSum:
    """Replaces the gradients of weights by their sums over the ranks.

    Each gradient has an all-reduce of its own while the backward pass goes on; those of one dimension, which are small,
    have one together after it. So each number has the same place in the same message at every step: with 3 ranks or
    more, the order in which they are added depends on it. DistributedDataParallel rebuilds its buckets after its first
    step, so that a resumed training would get other bits.
    """

    def __init__(self, weights: Sequence[Tensor], ranks: Ranks) -> None:
        self._ranks, self._works = ranks, list[dist.Work]()
        self._vectors = [weight for weight in weights if weight.ndim == 1]
        for weight in weights if ranks.group else ():
            if weight.ndim > 1:
                weight.register_post_accumulate_grad_hook(self._start)

    def wait(self) -> None:
        """Wait for the sums, after the backward pass."""
        vectors = [weight.grad for weight in self._vectors if weight.grad is not None and self._ranks.group]
        if vectors:
            sums = self._ranks.all_reduce(torch.cat(vectors)).split([len(vector) for vector in vectors])
            for vector, total in zip(vectors, sums, strict=True):
                vector.copy_(total)
        for work in self._works:
            work.wait()
        self._works.clear()

    def _start(self, weight: Tensor) -> None:
        if weight.grad is not None:
            in_memory = weight.grad.as_strided((weight.numel(),), (1,))  # dense, in the weight's own layout
            self._works.append(dist.all_reduce(in_memory, group=self._ranks.group, async_op=True))


@contextmanager
def process_group(device: torch.device) -> Iterator[Ranks]:
    """Yield the ranks; under torchrun this process joins the others, else it is the only one.

    Raises ConnectionError if they can't be reached, at the start or later.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield ALONE
        return
    name = f"rank {os.environ['RANK']} of {os.environ['WORLD_SIZE']} on {socket.gethostname()}"
    address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    with connecting(f"{name} can't reach the others by way of {address} within {join_timeout().total_seconds():.0f} s"):
        _init_process_group(BACKENDS[device.type])
        group = cast(dist.ProcessGroup, dist.new_group(timeout=STEP_TIMEOUT))
        wait_group = cast(dist.ProcessGroup, dist.new_group(backend="gloo", timeout=WAIT_TIMEOUT))
        ranks = Ranks(dist.get_rank(), dist.get_world_size(), group, wait_group)
    with connecting(f"{name} has lost the others"):
        ranks.check_dvc_rank()
        yield ranks
        ranks.wait_for_main()
        dist.destroy_process_group()


def join_timeout() -> timedelta:
    """Return how long ranks wait for one another at the start: torchrun's own timeout for machines."""
    timeouts = re.findall(r"\b(?:join_)?timeout=(\d+)", os.environ.get("PET_RDZV_CONF", ""))
    return timedelta(seconds=max(map(int, timeouts), default=JOIN_S))


def _init_process_group(backend: str) -> None:
    """Join the default process group; after a restart by torchrun, not that of the last start."""
    store, rank, world = next(rendezvous("env://", timeout=join_timeout()))
    reused = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"  # torchrun's store, with the last start's keys
    store = dist.PrefixStore(  # type: ignore[attr-defined]
        os.environ["TORCHELASTIC_RESTART_COUNT"] if reused else "", store
    )
    dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=join_timeout())


def local_device(device: torch.device) -> torch.device:
    """Return the device of this process: its own GPU where several run on one machine.

    Raises ValueError with fewer GPUs than processes.
    """
    if device.type != "cuda":
        return device
    local_rank, found = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
    if local_rank >= found:
        raise ValueError(
            f"expected a GPU for each of the {os.environ['LOCAL_WORLD_SIZE']} processes on this machine, got {found}; "
            "lower train.processes, or set train.device to cpu"
        )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


@contextmanager
def connecting(problem: str) -> Iterator[None]:
    """Turn connection errors, for which gloo has no type of its own, into ConnectionError."""
    try:
        yield
    except RuntimeError as error:
        if not (isinstance(error, dist.DistError) or any(text in str(error) for text in CONNECTION_ERRORS)):
            raise
        why = SOURCE_LINE.sub("", str(error)).strip().partition("\n")[0]
        raise ConnectionError(f"{problem}: {why}") from None
