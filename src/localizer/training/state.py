"""What training changes: weights and their average, AdamW's moments, the learning rate, and the epochs done."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from localizer.model.augmentation import Augmentation
from localizer.model.localizer import Localizer
from localizer.model.losses import Distance, Overlap
from localizer.training.distributed import ALONE, Ranks
from localizer.training.optimizer import adamw, warmup_cosine

MODEL, MOMENTS, AVERAGE = "model.", "adamw.", "average."


@dataclass(frozen=True)
class TrainConfig:
    """How to train; one seed an order.

    lr: the highest learning rate, of the head; backbone_lr: the others', as a factor of it, 0 leaving them and their
    statistics as they are; warmup: share of all steps; clip: longest gradient, 0 for any; average: decay a step of the
    averaged weights, which are the ones that are judged and kept, 0 for the last weights; bf16: whether to compute in
    bfloat16 where that is safe; compile: whether torch compiles the network; sync_batch_norm: whether BatchNorm sees
    the batch of all ranks, not only its own part.
    """

    epochs: int
    batch_size: int
    lr: float
    backbone_lr: float
    weight_decay: float
    warmup: float
    clip: float
    average: float
    bf16: bool
    compile: bool
    sync_batch_norm: bool
    distance: Distance
    overlap: Overlap
    distance_weight: float
    augmentation: Augmentation
    seed: int


class TrainState:
    """A model in training, from its first epoch on or from where another process stopped.

    `judged` is the model whose boxes count. Nothing random is part of it: what an epoch draws comes from its seed
    and its number. Each of several ranks has a state of its own; their gradients are averaged, so that their weights
    stay the same.
    """

    def __init__(self, model: Localizer, config: TrainConfig, *, images: int, ranks: Ranks = ALONE) -> None:
        self.model, self.ranks, self.epoch = model, ranks, 0
        if ranks.world_size > 1 and min(config.batch_size, images) < 2 * ranks.world_size:
            raise ValueError(
                f"{min(config.batch_size, images)} images per batch for {ranks.world_size} processes: each needs 2 or "
                "more; raise train.batch_size, or lower train.processes"
            )
        self.steps_per_epoch = max(1, images // config.batch_size)
        steps = config.epochs * self.steps_per_epoch
        self._clip, self._frozen = config.clip or math.inf, config.backbone_lr == 0
        self.optimizer = adamw(model, lr=config.lr, backbone_lr=config.backbone_lr, weight_decay=config.weight_decay)
        self._rate = warmup_cosine(round(config.warmup * steps), steps=steps)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._rate)
        # After the optimizer, which says what is frozen.
        averaging = ranks.wrap_ddp(model, sync_batch_norm=config.sync_batch_norm)
        self.forward: Callable[[Tensor], Tensor] = torch.compile(averaging) if config.compile else averaging
        average = get_ema_multi_avg_fn(config.average)
        self._average = AveragedModel(model, multi_avg_fn=average, use_buffers=True) if config.average else None

    @property
    def eval_model(self) -> Localizer:
        return cast(Localizer, self._average.module) if self._average else self.model

    def train_mode(self) -> None:
        """Put the model into training mode, but for a backbone that stays as it is."""
        self.model.train()
        for layer in self.model.backbone.body() if self._frozen else ():
            layer.eval()

    def step(self, loss: Tensor) -> None:
        """Go one step down the loss."""
        self.optimizer.zero_grad()
        loss.backward()
        if self._clip < math.inf:
            torch.nn.utils.clip_grad_norm_(self._weights(), self._clip)
        self.optimizer.step()
        self.schedule.step()
        if self._average:
            self._average.update_parameters(self.model)

    def sync_buffers(self) -> None:
        """Make all ranks' states one after an epoch, of which each has seen other images."""
        self.ranks.broadcast_buffers(self.model, *([self._average] if self._average else []))

    def tensors(self) -> dict[str, Tensor]:
        """Return all that has to be kept to go on after this epoch, by name."""
        weights = {MODEL + name: tensor for name, tensor in self.model.state_dict().items()}
        moments = {
            f"{MOMENTS}{number}.{name}": tensor
            for number, weight in enumerate(self._weights())
            for name, tensor in self.optimizer.state[weight].items()
        }
        averages = self._average.state_dict() if self._average else {}
        return weights | moments | {AVERAGE + name: tensor for name, tensor in averages.items()}

    def restore(self, tensors: dict[str, Tensor], *, epoch: int) -> None:
        """Become the state whose `tensors` these were after an epoch."""
        self.model.load_state_dict(strip_prefix(tensors, MODEL))
        if self._average:
            self._average.load_state_dict(strip_prefix(tensors, AVERAGE))
        for number, weight in enumerate(self._weights()):
            # A moment lies in memory as its weight does: the fused step goes by memory, not by index.
            self.optimizer.state[weight] = {
                name: torch.empty_like(weight).copy_(tensor) if tensor.ndim else tensor.to(weight.device, copy=True)
                for name, tensor in strip_prefix(tensors, f"{MOMENTS}{number}.").items()
            }
        self.epoch = epoch
        # From here on as if the schedule had come this far: it sets each group's rate, and the one that it tells.
        done = epoch * self.steps_per_epoch
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._rate, last_epoch=done - 1)

    def _weights(self) -> list[Tensor]:
        return [weight for group in self.optimizer.param_groups for weight in group["params"]]


def strip_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with the prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
