"""The training loop: a generator that yields one record an epoch."""

import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Never

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from localizer.boxes import paired_iou
from localizer.images.decoding import Pixels
from localizer.images.pixel_cache import release_pages
from localizer.model.augmentation import augment, draw
from localizer.model.localizer import Localizer
from localizer.model.losses import box_loss
from localizer.predictor import predict_boxes
from localizer.training.distributed import ALONE, Ranks
from localizer.training.state import TrainConfig, TrainState

ORDER = 1  # sets the shuffle's random numbers apart from the augmentation's


@dataclass(frozen=True)
class Samples:
    """Images and their boxes: uint8 [N, 3, S, S] and float [N, 4] xyxy in [0, 1]; `names` are for messages.

    The boxes are on the model's device. The pixels may stay in the CPU's memory or in a mapped file, `mapped`.
    """

    pixels: Tensor
    boxes: Tensor
    names: Sequence[str] = ()
    mapped: Pixels | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, rows: Tensor) -> Tensor:
        """Return a copy of some images' pixels, where they are; nothing else of a mapped file stays in memory."""
        pixels = self.pixels[rows]
        self._release_pages()
        return pixels

    def in_order(self, size: int, *, ranks: Ranks = ALONE) -> Iterator[Tensor]:
        """Yield the pixels of a rank's share, on the model's device, each batch until the next one is asked for."""
        for pixels in ranks.shard(self.pixels).split(size):
            if len(pixels):
                yield pixels.to(self.boxes.device)
                self._release_pages()

    def _release_pages(self) -> None:
        if self.mapped is not None:
            release_pages(self.mapped)


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch came to.

    lr: its first step's; loss: the mean; val_iou: mean IoU on the validation side; spread: of the boxes predicted
    there, as a share of the true ones', near 0 where all get the same box; images_per_s: trained; waited: share of
    that time in which no batch was ready; seconds: of the whole epoch, with validation.
    """

    epoch: int
    lr: float
    loss: float
    val_iou: float
    spread: float
    images_per_s: float
    waited: float
    seconds: float

    @property
    def metrics(self) -> dict[str, float]:
        """Return all but the epoch's number, by name."""
        return {name: value for name, value in vars(self).items() if name != "epoch"}


def fit(state: TrainState, train: Samples, validation: Samples, *, config: TrainConfig) -> Iterator[EpochRecord]:
    """Train the state's model in place, on the device where it is, and yield a record after each epoch left to do.

    Several ranks go through it together, each with its part of every batch, and get the same records but for times.
    Stop it by leaving the loop. Raises ValueError where there are too few images, or when a loss is not finite.
    """
    if len(train) < 2 or len(validation) < 1:
        raise ValueError(f"training wants 2 images and validation 1, got {len(train)} and {len(validation)}")
    images = state.steps_per_epoch * min(config.batch_size, len(train))
    done, total = state.epoch * images, config.epochs * images
    hidden = None if state.ranks.is_main else True  # None: where there is no terminal
    with tqdm(total=total, initial=done, unit="image", disable=hidden, smoothing=0.05) as bar:
        for epoch in range(state.epoch + 1, config.epochs + 1):
            state.ranks.wait_for_main()  # it records what was before, and may wait for a checkpoint
            started, (lr, *_) = time.perf_counter(), state.schedule.get_last_lr()
            loss, waited_s = _train_epoch(state, train, config, epoch=epoch, bar=bar)
            took_s = time.perf_counter() - started
            val_iou, spread = validate(state.eval_model, validation, batch_size=config.batch_size, ranks=state.ranks)
            bar.set_postfix(epoch=epoch, loss=f"{loss:.3f}", val_iou=f"{val_iou:.3f}")
            state.epoch = epoch
            seconds = time.perf_counter() - started
            yield EpochRecord(epoch, float(lr), loss, val_iou, spread, images / took_s, waited_s / took_s, seconds)


def best_epoch(history: Sequence[EpochRecord]) -> EpochRecord:
    """Return the epoch with the highest validation IoU, the last of equals."""
    return max(reversed(history), key=lambda epoch: epoch.val_iou)


def stops_early(history: Sequence[EpochRecord], *, patience: int) -> bool:
    """Return whether the last `patience` epochs, 0 for any number, brought no better validation IoU."""
    return bool(history) and 0 < patience <= history[-1].epoch - best_epoch(history).epoch


def validate(model: Localizer, samples: Samples, *, batch_size: int, ranks: Ranks = ALONE) -> tuple[float, float]:
    """Return the mean IoU of the model's boxes with the samples' own, and their spread (see EpochRecord)."""
    true = samples.boxes.cpu().double().numpy()
    part = [predict_boxes(model, pixels) for pixels in samples.in_order(batch_size, ranks=ranks)]
    pred = ranks.gather_rows(torch.from_numpy(np.concatenate([np.empty((0, 4)), *part])), len(samples)).numpy()
    spread = pred.std(axis=0).sum() / true.std(axis=0).sum() if true.std(axis=0).sum() > 0 else 1.0
    return float(paired_iou(pred, true).mean()), float(spread)


def _train_epoch(
    state: TrainState, train: Samples, config: TrainConfig, *, epoch: int, bar: "tqdm[Never]"
) -> tuple[float, float]:
    """Go through the images once; return the mean loss and the seconds waited for batches."""
    state.train_mode()
    device, losses, ranks = train.boxes.device, list[Tensor](), state.ranks
    whole = _order(len(train), config, epoch=epoch)[: state.steps_per_epoch]
    order = [ranks.shard(rows) for rows in whole]
    share = len(order[0]) / len(whole[0])
    on_device = torch.cat([*order]).to(device).split(len(order[0]))  # once: each copy to a GPU waits for all before it
    draws = draw(len(train), seed=config.seed, epoch=epoch).to(device)
    batches = _Timed(_fetch(train, order, on_device))
    for rows, pixels in zip(on_device, batches, strict=True):
        moved = augment(pixels, train.boxes[rows], draws[rows], strength=config.augmentation)
        losses.append(train_step(state, *moved, config=config, share=share))
        bar.update(len(whole[0]))
        if losses[-1].is_cpu and ranks.world_size == 1 and not math.isfinite(losses[-1]):
            break  # a GPU's, and those of other ranks, are read at the epoch's end: reading one waits for it
    state.sync_buffers()
    means = ranks.all_reduce(torch.stack(losses).cpu() * share)
    return _mean_of_finite(means, whole, train.names, epoch=epoch), batches.seconds


def train_step(state: TrainState, pixels: Tensor, boxes: Tensor, *, config: TrainConfig, share: float = 1.0) -> Tensor:
    """Make one step on float pixels [N, 3, S, S] and boxes [N, 4]; return the loss, a scalar on the device.

    share: of the batch, what this rank has; the gradient is that of the mean loss of all of it.
    """
    with torch.autocast(pixels.device.type, torch.bfloat16, enabled=config.bf16):
        pred = state.forward(pixels.contiguous(memory_format=torch.channels_last))
    weight = config.distance_weight
    loss = box_loss(pred, boxes, distance=config.distance, overlap=config.overlap, distance_weight=weight)
    state.step(
        loss * (share * state.ranks.world_size)
    )  # the ranks' gradients are averaged as if their shares were equal
    return loss.detach()


def _fetch(train: Samples, order: Sequence[Tensor], on_device: Sequence[Tensor]) -> Iterator[Tensor]:
    """Yield the batches' pixels on the boxes' device; while one is worked on, the next is read and pinned for a GPU.

    order: rows of the batches, on the CPU; on_device: the same ones there.
    """
    device = train.boxes.device
    if train.pixels.device == device:
        yield from map(train.batch, on_device)
        return
    with ThreadPoolExecutor(max_workers=1) as pool:
        send = lambda rows: train.batch(rows).pin_memory().to(device, non_blocking=True)  # noqa: E731
        coming = pool.submit(send, order[0])
        for rows in order[1:]:
            pixels = coming.result()
            coming = pool.submit(send, rows)
            yield pixels
        yield coming.result()


class _Timed(Iterator[Tensor]):
    """An iterator that adds up the seconds that its items take to come."""

    def __init__(self, items: Iterator[Tensor]) -> None:
        self._items, self.seconds = items, 0.0

    def __next__(self) -> Tensor:
        started = time.perf_counter()
        try:
            return next(self._items)
        finally:
            self.seconds += time.perf_counter() - started


def _order(images: int, config: TrainConfig, *, epoch: int) -> Sequence[Tensor]:
    """Return an epoch's shuffled batches as rows of the samples; the last may be smaller."""
    order = torch.from_numpy(np.random.default_rng((config.seed, epoch, ORDER)).permutation(images))
    return order.split(min(config.batch_size, images))


def _mean_of_finite(losses: Tensor, order: Sequence[Tensor], names: Sequence[str], *, epoch: int) -> float:
    """Return the mean; ValueError names epoch, step and images of the first loss that is not finite."""
    bad = torch.nonzero(~torch.isfinite(losses))
    if len(bad):
        step = int(bad[0])
        files = f", on {', '.join(names[row] for row in order[step].tolist())}" if len(names) else ""
        raise ValueError(f"the loss is not finite at epoch {epoch}, step {step + 1}{files}; try a lower train.lr")
    return float(losses.mean())
