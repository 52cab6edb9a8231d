"""The state of a training: weights and their moving average, AdamW's moments, the learning rate, epochs done."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from localizer.model.augmentation import Augmentation
from localizer.model.head import CellBoxes
from localizer.model.localizer import Localizer
from localizer.model.losses import BoxLoss, IouLoss
from localizer.training.distributed import ALONE, GradientSum, Ranks
from localizer.training.optimizer import adamw, warmup_cosine

Compile = Literal["off", "on", "auto"]
MODEL, MOMENTS, AVERAGE = "model.", "adamw.", "average."  # prefixes of tensor names in a checkpoint


@dataclass(frozen=True)
class TrainConfig:
    """How to train.

    lr: peak learning rate of the head; backbone_lr: the backbone's, as a factor of it; 0 freezes the backbone with its
    BatchNorm statistics. warmup: fraction of all steps. clip: largest gradient norm; 0 for no clipping. ema_decay: per
    step, of the weights' moving average, which is then evaluated and saved; 0 for none. bf16: autocast to bfloat16.
    compile: see `choose_execution`. sync_batch_norm: BatchNorm over the batch of all ranks. seed: of the batches' order
    and the augmentation.
    """

    epochs: int
    batch_size: int
    lr: float
    backbone_lr: float
    weight_decay: float
    warmup: float
    clip: float
    ema_decay: float
    bf16: bool
    compile: Compile
    sync_batch_norm: bool
    box_loss: BoxLoss
    iou_loss: IouLoss
    box_loss_weight: float
    augmentation: Augmentation
    seed: int


class TrainState:
    """A model in training, from the first epoch or from a checkpoint.

    `eval_model` is the model to evaluate and save: the moving average if there is one. No random state is part of it:
    an epoch's random numbers come from the seed and the epoch's number. Each rank has a state of its own; summed
    gradients keep their weights equal.
    """

    def __init__(self, model: Localizer, config: TrainConfig, *, images: int, ranks: Ranks = ALONE) -> None:
        self.model, self.ranks, self.epoch = model, ranks, 0
        batch = min(config.batch_size, images)
        if ranks.world_size > 1 and batch < 2 * ranks.world_size:
            raise ValueError(
                f"expected 2 images or more per process, got a batch of {batch} for {ranks.world_size} processes; "
                "raise train.batch_size, or lower train.processes"
            )
        self.steps_per_epoch = max(1, images // config.batch_size)
        steps = config.epochs * self.steps_per_epoch
        self._clip, self._frozen = config.clip or math.inf, config.backbone_lr == 0
        rates = {"lr": config.lr, "backbone_lr": config.backbone_lr, "weight_decay": config.weight_decay}
        self.optimizer = adamw(model, **rates, capturable=config.compile == "auto")
        self._lr_factor = warmup_cosine(round(config.warmup * steps), steps=steps)
        self.schedule = LambdaLR(self.optimizer, self._lr_factor)
        # Before layers of SyncBatchNorm hold a process group, which can't be copied.
        self._decay, self._average = config.ema_decay, copy.deepcopy(model) if config.ema_decay else None
        ranks.prepare_model(model, sync_batch_norm=config.sync_batch_norm)
        self._gradients = GradientSum(self._weights(), ranks)
        self.forward: Callable[[Tensor], CellBoxes] = model.backbone

    @property
    def eval_model(self) -> Localizer:
        return self._average or self.model

    def train_mode(self) -> None:
        """Put the model into training mode; a frozen backbone stays in evaluation mode."""
        self.model.train()
        for layer in self.model.backbone.body() if self._frozen else ():
            layer.eval()

    def step(self, loss: Tensor) -> None:
        """Make one optimizer step, and go on to the next learning rate."""
        self.update(loss)
        self.schedule.step()

    def update(self, loss: Tensor) -> None:
        """Make one optimizer step at the present learning rate; all of it is work of the device.

        It follows the gradient of the sum of the ranks' losses.
        """
        self.optimizer.zero_grad()
        loss.backward()
        self._gradients.wait()
        if self._clip < math.inf:
            torch.nn.utils.clip_grad_norm_(self._weights(), self._clip)
        self.optimizer.step()
        if self._average:
            self._update_average(self._average)

    @torch.no_grad()
    def _update_average(self, average: Localizer) -> None:
        """Move the average by 1 - ema_decay towards the model; it begins with the model of the first step."""
        by = 1.0 if self.schedule.last_epoch == 0 else 1 - self._decay
        pairs = [*zip(average.state_dict().values(), self.model.state_dict().values(), strict=True)]
        means, values = zip(*(pair for pair in pairs if pair[0].is_floating_point()), strict=True)
        torch._foreach_lerp_(means, values, by)
        for counter, value in (pair for pair in pairs if not pair[0].is_floating_point()):
            counter.copy_(value)

    def sync_buffers(self) -> None:
        """Give all ranks the main rank's BatchNorm statistics, at the end of an epoch."""
        for model in filter(None, (self.model, self._average)):
            self.ranks.broadcast_tensors(model.buffers())

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that `restore` needs, by name."""
        weights = {MODEL + name: tensor for name, tensor in self.model.state_dict().items()}
        moments = {
            f"{MOMENTS}{number}.{name}": tensor
            for number, weight in enumerate(self._weights())
            for name, tensor in self.optimizer.state[weight].items()
        }
        averages = self._average.state_dict() if self._average else {}
        return weights | moments | {AVERAGE + name: tensor for name, tensor in averages.items()}

    def restore(self, tensors: dict[str, Tensor], *, epoch: int) -> None:
        """Take over the `tensors` of the state after an epoch."""
        self.model.load_state_dict(strip_prefix(tensors, MODEL))
        if self._average:
            self._average.load_state_dict(strip_prefix(tensors, AVERAGE))
        for number, weight in enumerate(self._weights()):
            # A moment keeps its weight's memory format: the fused step iterates over memory, not over indices.
            self.optimizer.state[weight] = {
                name: torch.empty_like(weight).copy_(tensor) if tensor.ndim else tensor.to(weight.device, copy=True)
                for name, tensor in strip_prefix(tensors, f"{MOMENTS}{number}.").items()
            }
        self.epoch = epoch
        # A new schedule at the step that was reached sets each group's rate, and the rate that it reports.
        self.schedule = LambdaLR(self.optimizer, self._lr_factor, last_epoch=epoch * self.steps_per_epoch - 1)

    def _weights(self) -> list[Tensor]:
        return [weight for group in self.optimizer.param_groups for weight in group["params"]]


def strip_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with the prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
