"""The training loop: a generator that yields one record an epoch."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from localizer.boxes import paired_iou
from localizer.model.augment import augment, draw
from localizer.model.localizer import Localizer
from localizer.model.losses import box_loss
from localizer.predictor import predict_boxes
from localizer.training.state import Recipe, State

ORDER = 1  # sets the shuffle's random numbers apart from the augmentation's


@dataclass(frozen=True)
class Samples:
    """Images and their boxes: uint8 [N, 3, S, S] and float [N, 4] xyxy in [0, 1]; `names` are for messages."""

    pixels: Tensor
    boxes: Tensor
    names: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to: mean loss, mean validation IoU, images trained a second; `lr` is its first step's."""

    epoch: int
    lr: float
    loss: float
    val_iou: float
    images_per_s: float


def fit(state: State, train: Samples, validation: Samples, *, recipe: Recipe) -> Iterator[Epoch]:
    """Train the state's model in place, on the device where it is, and yield a record after each epoch left to do.

    Stop it by leaving the loop. Raises ValueError where there are too few images, or when a loss is not finite.
    """
    if len(train) < 2 or len(validation) < 1:
        raise ValueError(f"training wants 2 images and validation 1, got {len(train)} and {len(validation)}")
    images = state.steps_an_epoch * min(recipe.batch_size, len(train))
    done, total = state.epoch * images, recipe.epochs * images
    with tqdm(total=total, initial=done, unit="image", disable=None, smoothing=0.05) as bar:
        for epoch in range(state.epoch + 1, recipe.epochs + 1):
            started, (lr, *_) = time.perf_counter(), state.schedule.get_last_lr()
            losses: list[Tensor] = []
            state.model.train()
            order = _order(len(train), recipe, epoch=epoch)[: state.steps_an_epoch]
            for pixels, boxes in _batches(train, order, recipe, epoch=epoch):
                losses.append(_step(state, pixels, boxes, recipe=recipe))
                bar.update(len(boxes))
                if losses[-1].is_cpu and not math.isfinite(losses[-1]):
                    break  # a GPU's are read at the epoch's end: reading one waits for it
            loss = _mean_of_finite(torch.stack(losses).cpu(), order, train.names, epoch=epoch)
            images_per_s = images / (time.perf_counter() - started)
            val_iou = mean_iou(state.model, validation, batch_size=recipe.batch_size)
            bar.set_postfix(epoch=epoch, loss=f"{loss:.3f}", val_iou=f"{val_iou:.3f}")
            state.epoch = epoch
            yield Epoch(epoch, float(lr), loss, val_iou, images_per_s)


def mean_iou(model: Localizer, samples: Samples, *, batch_size: int) -> float:
    """Return the mean IoU, in [0, 1], of the model's boxes with the samples' own."""
    boxes = [predict_boxes(model, pixels) for pixels in samples.pixels.split(batch_size)]
    return float(paired_iou(np.concatenate(boxes), samples.boxes.cpu().double().numpy()).mean())


def _step(state: State, pixels: Tensor, boxes: Tensor, *, recipe: Recipe) -> Tensor:
    """Make one step on float pixels [N, 3, S, S] and boxes [N, 4]; return the loss, a scalar on the device."""
    with torch.autocast(pixels.device.type, torch.bfloat16, enabled=pixels.device.type == "cuda"):
        pred = state.model(pixels.contiguous(memory_format=torch.channels_last))
    weight = recipe.distance_weight
    loss = box_loss(pred, boxes, distance=recipe.distance, overlap=recipe.overlap, distance_weight=weight)
    state.optimizer.zero_grad()
    loss.backward()
    state.optimizer.step()
    state.schedule.step()
    return loss.detach()


def _order(images: int, recipe: Recipe, *, epoch: int) -> Sequence[Tensor]:
    """Return an epoch's shuffled batches as rows of the samples; the last may be smaller."""
    order = torch.from_numpy(np.random.default_rng((recipe.seed, epoch, ORDER)).permutation(images))
    return order.split(min(recipe.batch_size, images))


def _batches(train: Samples, order: Sequence[Tensor], recipe: Recipe, *, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield augmented batches in that order, on the samples' device."""
    device = train.pixels.device
    draws = draw(len(train), seed=recipe.seed, epoch=epoch)
    for rows in order:
        chosen = rows.to(device)
        yield augment(train.pixels[chosen], train.boxes[chosen], draws[rows].to(device), strength=recipe.augmentation)


def _mean_of_finite(losses: Tensor, order: Sequence[Tensor], names: Sequence[str], *, epoch: int) -> float:
    """Return the mean; ValueError names epoch, step and images of the first loss that is not finite."""
    bad = torch.nonzero(~torch.isfinite(losses))
    if len(bad):
        step = int(bad[0])
        files = f", on {', '.join(names[row] for row in order[step].tolist())}" if names else ""
        raise ValueError(f"the loss is not finite at epoch {epoch}, step {step + 1}{files}; try a lower train.lr")
    return float(losses.mean())
