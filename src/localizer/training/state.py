"""What training changes: the weights, AdamW's moments, the learning rate, and how many epochs are done."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from localizer.model.augment import Augmentation
from localizer.model.localizer import Localizer
from localizer.model.losses import Distance, Overlap

MODEL, MOMENTS = "model.", "adamw."


@dataclass(frozen=True)
class Recipe:
    """How to train. `warmup` is a share of all steps; `lr` the highest learning rate; one seed an order."""

    epochs: int
    batch_size: int
    lr: float
    weight_decay: float
    warmup: float
    distance: Distance
    overlap: Overlap
    distance_weight: float
    augmentation: Augmentation
    seed: int


class State:
    """A model in training, from its first epoch on or from where another process stopped.

    Nothing random is part of it: what an epoch draws comes from its seed and its number.
    """

    def __init__(self, model: Localizer, recipe: Recipe, *, images: int) -> None:
        self.model, self.epoch = model, 0
        self.steps_an_epoch = max(1, images // recipe.batch_size)
        steps = recipe.epochs * self.steps_an_epoch
        self.optimizer = _optimizer(model, recipe)
        self._rate = _rate(round(recipe.warmup * steps), steps=steps)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._rate)

    def tensors(self) -> dict[str, Tensor]:
        """Return all that has to be kept to go on after this epoch, by name."""
        weights = {MODEL + name: tensor for name, tensor in self.model.state_dict().items()}
        moments = {
            f"{MOMENTS}{number}.{name}": tensor
            for number, weight in enumerate(self._weights())
            for name, tensor in self.optimizer.state[weight].items()
        }
        return weights | moments

    def restore(self, tensors: dict[str, Tensor], *, epoch: int) -> None:
        """Become the state whose `tensors` these were after an epoch."""
        self.model.load_state_dict(part(tensors, MODEL))
        for number, weight in enumerate(self._weights()):
            # A moment lies in memory as its weight does: the fused step goes by memory, not by index.
            self.optimizer.state[weight] = {
                name: torch.empty_like(weight).copy_(tensor) if tensor.ndim else tensor.clone()
                for name, tensor in part(tensors, f"{MOMENTS}{number}.").items()
            }
        self.epoch = epoch
        self.schedule.last_epoch = epoch * self.steps_an_epoch
        for group, base_lr in zip(self.optimizer.param_groups, self.schedule.base_lrs, strict=True):
            group["lr"] = base_lr * self._rate(self.schedule.last_epoch)

    def _weights(self) -> list[Tensor]:
        return [weight for group in self.optimizer.param_groups for weight in group["params"]]


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with the prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _rate(warmup: int, *, steps: int) -> Callable[[int], float]:
    """Return the learning rate at a step, as a factor: linear warm-up, then half a cosine down to 0."""

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))

    return factor


def _optimizer(model: Localizer, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW whose weight decay spares what has one dimension: biases and BatchNorm."""
    decayed = [weight for weight in model.parameters() if weight.ndim > 1]
    spared = [weight for weight in model.parameters() if weight.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.lr, fused=True)
