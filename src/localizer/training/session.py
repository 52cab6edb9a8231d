"""A training session: from the first epoch or a checkpoint to the best weights."""

import json
import logging
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from localizer.config import flatten
from localizer.device import explain_oom
from localizer.files import file_sha256, replace_text
from localizer.model import saving
from localizer.model.localizer import Localizer
from localizer.model.weights import load_pretrained
from localizer.training.checkpoints import Checkpoint, Checkpoints
from localizer.training.distributed import Ranks
from localizer.training.loop import EpochRecord, best_epoch, fit, stops_early
from localizer.training.params import TrainParams
from localizer.training.samples import load_samples, read_splits
from localizer.training.state import TrainState, strip_prefix

log = logging.getLogger(__name__)
BEST = "best."  # prefix of the best epoch's weights in a checkpoint
PAUSE = 100  # the next checkpoint is due after this many times the seconds that the last one took


@dataclass
class TrainingSession:
    """The history, the weights of the best epoch, and the checkpoints, which only the main rank keeps.

    pretrained_sha256: of the file that the weights came from at first; empty for none.

    After each epoch the state is copied, on its device; where a checkpoint is due, or the training is stopped, the
    copy goes to CPU memory and into a file, by a thread during training.
    """

    state: TrainState
    checkpoints: Checkpoints | None
    pretrained_sha256: str = ""
    history: list[EpochRecord] = field(default_factory=list)
    weights: dict[str, Tensor] = field(default_factory=dict)
    _next: float = 0  # when the next checkpoint is due
    _copy: dict[str, Tensor] = field(default_factory=dict)
    _copied: tuple[EpochRecord, ...] = ()  # history of the copy; empty once the copy is written
    _writer: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(max_workers=1))
    _writing: "Future[None] | None" = None

    @property
    def best(self) -> EpochRecord:
        return best_epoch(self.history)

    def resume(self) -> Checkpoint | None:
        """Restore the latest checkpoint of this training and return it; None if there is none."""
        found = _broadcast_checkpoint(self.checkpoints.latest() if self.checkpoints else None, self.state.ranks)
        if found:
            self.history, self.weights = list(found.history), strip_prefix(found.tensors, BEST)
            self.state.restore(found.tensors, epoch=len(found.history))
        return found

    def add(self, epoch: EpochRecord) -> None:
        """Record an epoch: keep its weights if they are the best, and write a checkpoint if one is due.

        Raises OSError if the last checkpoint could not be written.
        """
        self.history.append(epoch)
        if self.best is epoch and self.state.ranks.is_main:
            self.weights = copy_tensors(self.state.eval_model.state_dict(), into=self.weights)
        if self.checkpoints:
            self._wait()  # the thread may still be writing the copy
            self._copied = ()
            best = {BEST + name: tensor for name, tensor in self.weights.items()}
            self._copy = copy_tensors(self.state.tensors() | best, into=self._copy)
            self._copied = tuple(self.history)
            if time.monotonic() >= self._next:
                self._writing = self._writer.submit(self._write)

    @contextmanager
    def save_on_exit(self) -> Iterator[None]:
        """Write a checkpoint of the last epoch, due or not, when the block fails or is stopped."""
        try:
            yield
        except BaseException:
            try:
                self._writer.submit(self._write).result()  # queued behind a write in progress
            except (OSError, RuntimeError, MemoryError) as error:  # the first error is raised
                log.warning("no checkpoint of the last epoch: %s", error)
            raise

    def best_model(self) -> Localizer:
        """Return the model with the weights of the best epoch."""
        self.state.eval_model.load_state_dict(self.weights)
        return self.state.eval_model

    def remove_checkpoints(self) -> None:
        """Remove the checkpoints of this finished training."""
        self._writer.shutdown()
        if self.checkpoints:
            self.checkpoints.remove()

    def _wait(self) -> None:
        if self._writing:
            self._writing.result()
            self._writing = None

    def _write(self) -> None:
        if self.checkpoints and self._copied:
            started = time.monotonic()
            self.checkpoints.save(self._copied, {name: tensor.cpu() for name, tensor in self._copy.items()})
            ended = time.monotonic()
            self._copied, self._next = (), ended + PAUSE * (ended - started)


def start_session(
    params: TrainParams, device: torch.device, *, images: int, checkpoints: Checkpoints | None, ranks: Ranks
) -> TrainingSession:
    """Return a session on `images` training images: weights are initialized from the seed, or loaded."""
    torch.manual_seed(params.seed)
    model = Localizer(params.architecture)
    pretrained = load_pretrained(model, params.weights)
    model.to(device).to(memory_format=torch.channels_last)
    state = TrainState(model, params.train_config(device), images=images, ranks=ranks)
    return TrainingSession(state, checkpoints, pretrained)


def train_worker(params: TrainParams, device: torch.device, ranks: Ranks, *, split: Path, cache: Path) -> None:
    """Train as a rank other than the main one, which writes all outputs; see `load_samples` for `split` and `cache`."""
    _, splits = read_splits(split, overfit=params.overfit, fast_batch=params.fast_batch)
    params = params.for_images(len(splits[0]))
    train, validation = (load_samples(images, params.image_size, device, cache) for images in splits[:2])
    session = start_session(params, device, images=len(train), checkpoints=None, ranks=ranks)
    session.resume()
    with explain_oom(params.oom_hint):
        epochs = fit(session.state, train, validation, config=params.train_config(device))
        for epoch in epochs if not stops_early(session.history, patience=params.patience) else ():
            session.add(epoch)
            if stops_early(session.history, patience=params.patience):
                break


def save_model(
    session: TrainingSession, params: TrainParams, weights: Path, metrics: Path, *, split: Path, **card: Any
) -> None:
    """Write the best model with its model card, and the metrics; `card`: its label and calibration."""
    best = session.best
    card |= {"best_epoch": best.epoch, "val_iou": best.val_iou, "split_sha256": file_sha256(split)}
    card |= {"image_size": params.image_size, "params": flatten(params.model_dump())}
    card |= {"pretrained_sha256": session.pretrained_sha256}
    saving.save(weights, session.best_model(), **card)
    values = {"best_epoch": best.epoch, "val_iou": round(best.val_iou, 6)}
    replace_text(metrics, json.dumps(values, indent=2) + "\n")


def _broadcast_checkpoint(found: Checkpoint | None, ranks: Ranks) -> Checkpoint | None:
    """Return the main rank's checkpoint on all ranks."""
    if ranks.world_size == 1:
        return found
    history = ranks.broadcast(json.dumps([asdict(epoch) for epoch in found.history] if found else []).encode())
    epochs = tuple(EpochRecord(**record) for record in json.loads(history))
    tensors = ranks.broadcast(save_tensors(found.tensors) if found else b"") if epochs else b""
    return found or (Checkpoint(epochs, load_tensors(tensors), Path()) if epochs else None)


def copy_tensors(tensors: Mapping[str, Tensor], *, into: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors on their device, into those of `into` that are there: reusing memory is much faster."""
    for name, tensor in tensors.items():
        if name not in into or into[name].device != tensor.device:
            into[name] = torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device)
        into[name].copy_(tensor)
    return into
