"""The training loop: a generator that yields one record an epoch."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from localizer.boxes import paired_iou
from localizer.model.augment import Augmentation, augment, draw
from localizer.model.localizer import Localizer
from localizer.model.losses import Distance, Overlap, box_loss
from localizer.predictor import predict_boxes

ORDER = 1  # sets the shuffle's random numbers apart from the augmentation's


@dataclass(frozen=True)
class Samples:
    """Images and their boxes: uint8 [N, 3, S, S] and float [N, 4] xyxy in [0, 1]."""

    pixels: Tensor
    boxes: Tensor

    def __len__(self) -> int:
        return len(self.pixels)


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


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to: mean loss, mean validation IoU, images trained a second; `lr` is its first step's."""

    epoch: int
    lr: float
    loss: float
    val_iou: float
    images_per_s: float


def fit(model: Localizer, train: Samples, validation: Samples, *, recipe: Recipe) -> Iterator[Epoch]:
    """Train the model in place, on the device where it is, and yield a record after each epoch.

    Stop it by leaving the loop. Raises ValueError where there are too few images, or when a loss is not finite.
    """
    if len(train) < 2 or len(validation) < 1:
        raise ValueError(f"training wants 2 images and validation 1, got {len(train)} and {len(validation)}")
    optimizer = _optimizer(model, recipe)
    steps = recipe.epochs * _steps_an_epoch(len(train), recipe)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _rate(round(recipe.warmup * steps), steps=steps))
    with tqdm(total=steps * min(recipe.batch_size, len(train)), unit="image", disable=None, smoothing=0.05) as bar:
        for epoch in range(1, recipe.epochs + 1):
            started, (lr, *_) = time.perf_counter(), schedule.get_last_lr()
            losses = []  # read once, at the epoch's end: reading one waits for the GPU
            model.train()
            for pixels, boxes in _batches(train, recipe, epoch=epoch):
                losses.append(_step(model, pixels, boxes, optimizer=optimizer, recipe=recipe))
                schedule.step()
                bar.update(len(boxes))
            loss = _mean_of_finite(torch.stack(losses).cpu(), epoch=epoch)
            images_per_s = len(losses) * min(recipe.batch_size, len(train)) / (time.perf_counter() - started)
            val_iou = mean_iou(model, validation, batch_size=recipe.batch_size)
            bar.set_postfix(epoch=epoch, loss=f"{loss:.3f}", val_iou=f"{val_iou:.3f}")
            yield Epoch(epoch, float(lr), loss, val_iou, images_per_s)


def mean_iou(model: Localizer, samples: Samples, *, batch_size: int) -> float:
    """Return the mean IoU, in [0, 1], of the model's boxes with the samples' own."""
    boxes = [predict_boxes(model, pixels) for pixels in samples.pixels.split(batch_size)]
    return float(paired_iou(np.concatenate(boxes), samples.boxes.cpu().double().numpy()).mean())


def _step(
    model: Localizer, pixels: Tensor, boxes: Tensor, *, optimizer: torch.optim.Optimizer, recipe: Recipe
) -> Tensor:
    """Make one step on float pixels [N, 3, S, S] and boxes [N, 4]; return the loss, a scalar on the device."""
    with torch.autocast(pixels.device.type, torch.bfloat16, enabled=pixels.device.type == "cuda"):
        pred = model(pixels.contiguous(memory_format=torch.channels_last))
    weight = recipe.distance_weight
    loss = box_loss(pred, boxes, distance=recipe.distance, overlap=recipe.overlap, distance_weight=weight)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def _batches(train: Samples, recipe: Recipe, *, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield an epoch's shuffled, augmented batches, on the samples' device; a last, smaller one is left out."""
    device = train.pixels.device
    draws = draw(len(train), seed=recipe.seed, epoch=epoch)
    order = torch.from_numpy(np.random.default_rng((recipe.seed, epoch, ORDER)).permutation(len(train)))
    for rows in order.split(min(recipe.batch_size, len(train)))[: _steps_an_epoch(len(train), recipe)]:
        chosen = rows.to(device)
        yield augment(train.pixels[chosen], train.boxes[chosen], draws[rows].to(device), strength=recipe.augmentation)


def _steps_an_epoch(images: int, recipe: Recipe) -> int:
    return max(1, images // recipe.batch_size)


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


def _mean_of_finite(losses: Tensor, *, epoch: int) -> float:
    bad = torch.nonzero(~torch.isfinite(losses))
    if len(bad):
        raise ValueError(f"the loss is not finite at epoch {epoch}, step {int(bad[0]) + 1}; try a lower train.lr")
    return float(losses.mean())
