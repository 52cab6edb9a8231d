"""A training from its start, or from where another start of the same one ended, to its best weights."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from localizer.device import is_out_of_memory
from localizer.model.localizer import Localizer
from localizer.training.checkpoint import Checkpoint, Checkpoints
from localizer.training.engine import Epoch
from localizer.training.state import State, part

BEST = "best."  # before the names of the best epoch's weights in a checkpoint
PAUSE = 100  # times what the last checkpoint took, until the next: they take 1% of the time at most


@dataclass
class Course:
    """The epochs that are done, the weights of the best of them, and where both are kept, if anywhere."""

    state: State
    checkpoints: Checkpoints | None
    history: list[Epoch] = field(default_factory=list)
    weights: dict[str, Tensor] = field(default_factory=dict)
    _next: float = 0  # when the next checkpoint is due
    _copy: dict[str, Tensor] = field(default_factory=dict)
    _copied: tuple[Epoch, ...] = ()  # the epochs after which the copy was made; none while it is being made

    @property
    def best(self) -> Epoch:
        """The epoch with the highest validation IoU, the last of equals."""
        return max(reversed(self.history), key=lambda epoch: epoch.val_iou)

    def resume(self) -> Checkpoint | None:
        """Go to the last epoch that was kept of this training; return its checkpoint, or None if there is none."""
        found = self.checkpoints.latest() if self.checkpoints else None
        if found:
            self.history, self.weights = list(found.history), part(found.tensors, BEST)
            self.state.restore(found.tensors, epoch=len(found.history))
        return found

    def add(self, epoch: Epoch) -> None:
        """Take up what the state has become by an epoch; write a checkpoint, or put it off where that takes long."""
        self.history.append(epoch)
        if self.best is epoch:
            self.weights = copied(self.state.judged.state_dict(), into=self.weights)
        tensors = self.state.tensors() | {BEST + name: tensor for name, tensor in self.weights.items()}
        if self.checkpoints and time.monotonic() >= self._next:
            self._save(self.history, tensors)
        elif self.checkpoints:
            self._copied = ()
            self._copy = copied(tensors, into=self._copy)
            self._copied = tuple(self.history)

    def keep(self) -> None:
        """Write the checkpoint of the last epoch now, if it was put off."""
        if self._copied:
            self._save(self._copied, self._copy)

    def end(self) -> Localizer:
        """Return the model as it was after the best epoch."""
        self.state.judged.load_state_dict(self.weights)
        return self.state.judged

    def _save(self, history: Sequence[Epoch], tensors: dict[str, Tensor]) -> None:
        if self.checkpoints:
            started = time.monotonic()
            self.checkpoints.save(history, tensors)
            ended = time.monotonic()
            self._copied, self._next = (), ended + PAUSE * (ended - started)


def copied(tensors: Mapping[str, Tensor], *, into: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return copies on the same device, in the place of those in `into` where there are some: that is much faster."""
    for name, tensor in tensors.items():
        if name in into:
            into[name].copy_(tensor)
        else:
            into[name] = tensor.clone()
    return into


def memory_told(epochs: Iterator[Epoch], *, batch_size: int, image_size: int) -> Iterator[Epoch]:
    """Yield the epochs; ValueError says what to lower when memory runs out."""
    try:
        yield from epochs
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise ValueError(
            f"out of memory with train.batch_size {batch_size} at train.image_size {image_size}; lower one of them"
        ) from None
