"""The training loop: a generator that yields one record per epoch; early stopping."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Never

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from localizer.boxes import paired_iou
from localizer.model.augmentation import augment, draw
from localizer.model.localizer import Localizer
from localizer.model.losses import localization_loss
from localizer.predictor import predict_boxes
from localizer.training.batches import Timed, fetch
from localizer.training.distributed import ALONE, Ranks
from localizer.training.execution import GraphedStep, Step, choose_execution
from localizer.training.samples import Samples
from localizer.training.state import TrainConfig, TrainState

SHUFFLE = 1  # seeds the order of the batches apart from the augmentation


@dataclass(frozen=True)
class EpochRecord:
    """The metrics of one epoch.

    lr: of the head, at the epoch's first step; loss: mean over its images; val_iou: mean IoU on the validation split;
    spread: standard deviation of the boxes predicted there over that of the true ones, near 0 if all images get the
    same box; images_per_s: training throughput; waited: fraction of the training time spent waiting for batches;
    seconds: of the whole epoch, with validation.
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
        """All fields but the epoch's number, by name."""
        return {name: value for name, value in vars(self).items() if name != "epoch"}


def fit(state: TrainState, train: Samples, validation: Samples, *, config: TrainConfig) -> Iterator[EpochRecord]:
    """Train the state's model in place, and yield a record after each remaining epoch; stop by leaving the loop.

    All ranks run it together, each on its shard of every batch, and get the same records except for times.
    Raises ValueError with too few images, or when a loss is not finite.
    """
    if len(train) < 2 or len(validation) < 1:
        raise ValueError(
            f"expected 2 images or more to train on and 1 to validate, got {len(train)} and {len(validation)}"
        )
    images = state.steps_per_epoch * min(config.batch_size, len(train))
    done, total = state.epoch * images, config.epochs * images
    step = make_step(state, train, config)
    hidden = None if state.ranks.is_main else True  # None: hidden if not on a terminal
    with tqdm(total=total, initial=done, unit="image", disable=hidden, smoothing=0.05) as bar:
        for epoch in range(state.epoch + 1, config.epochs + 1):
            state.ranks.wait_for_main()  # which records the last epoch, and may wait for a checkpoint
            started, (lr, *_) = time.perf_counter(), state.schedule.get_last_lr()
            loss, waited_s = _train_epoch(state, train, config, step, epoch=epoch, bar=bar)
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
    """Return whether validation IoU has not improved for `patience` epochs; never with a patience of 0."""
    return bool(history) and 0 < patience <= history[-1].epoch - best_epoch(history).epoch


def validate(model: Localizer, samples: Samples, *, batch_size: int, ranks: Ranks = ALONE) -> tuple[float, float]:
    """Return the mean IoU on the samples, and the spread of the predicted boxes (see `EpochRecord`)."""
    true = samples.boxes.cpu().double().numpy()
    shard = [predict_boxes(model, pixels) for pixels in samples.batches(batch_size, ranks=ranks)]
    pred = ranks.gather_rows(torch.from_numpy(np.concatenate([np.empty((0, 4)), *shard])), len(samples)).numpy()
    spread = pred.std(axis=0).sum() / true.std(axis=0).sum() if true.std(axis=0).sum() > 0 else 1.0
    return float(paired_iou(pred, true).mean()), float(spread)


def _train_epoch(
    state: TrainState, train: Samples, config: TrainConfig, step: Step, *, epoch: int, bar: "tqdm[Never]"
) -> tuple[float, float]:
    """Train on all images once; return the mean loss and the seconds spent waiting for batches."""
    state.train_mode()
    device, losses, ranks = train.boxes.device, list[Tensor](), state.ranks
    batches = _shuffled(len(train), config, epoch=epoch)[: state.steps_per_epoch]
    shards = [ranks.shard(rows) for rows in batches]
    share = _share(state, len(batches[0]))
    on_device = torch.cat([*shards]).to(device).split(len(shards[0]))  # one copy: each waits for the GPU's queue
    draws = draw(len(train), seed=config.seed, epoch=epoch).to(device)
    fetched = Timed(fetch(train, shards, on_device))
    for rows, pixels in zip(on_device, fetched, strict=True):
        losses.append(step(pixels, train.boxes[rows], draws[rows]))
        state.schedule.step()
        bar.update(len(batches[0]))
        if losses[-1].is_cpu and ranks.world_size == 1 and not math.isfinite(losses[-1]):
            break  # on a GPU, and on several ranks, losses are read after the epoch: reading one waits for it
    state.sync_buffers()
    means = ranks.all_reduce(torch.stack(losses).cpu() * share)
    return _mean_of_finite(means, batches, train.names, epoch=epoch), fetched.seconds


def make_step(state: TrainState, train: Samples, config: TrainConfig) -> Step:
    """Return what makes a step of a batch's pixels, boxes and draws, as `config.compile` has it executed."""
    batch = min(config.batch_size, len(train))
    share = _share(state, batch)

    def step(pixels: Tensor, boxes: Tensor, draws: Tensor) -> Tensor:
        augmented = augment(pixels, boxes, draws, strength=config.augmentation)
        return train_step(state, *augmented, config=config, share=share)

    pixels = batch * train.pixels[0, 0].numel()
    execution = choose_execution(config.compile, train.boxes.device, pixels=pixels, world_size=state.ranks.world_size)
    if execution == "compiled":
        state.forward = torch.compile(state.forward)
    return GraphedStep(step, state) if execution == "graph" else step


def train_step(state: TrainState, pixels: Tensor, boxes: Tensor, *, config: TrainConfig, share: float = 1.0) -> Tensor:
    """Make one step on the pixels and boxes that `augment` returns; return the loss, a scalar on the device.

    share: this rank's fraction of the batch; the step follows the gradient of the whole batch's mean loss. The learning
    rate stays: `state.schedule.step()` is up to the caller.
    """
    # Without autocast's cache: each weight is used once, and a CUDA graph must not see what a former step cached.
    with torch.autocast(pixels.device.type, torch.bfloat16, enabled=config.bf16, cache_enabled=False):
        pred = state.forward(pixels.contiguous(memory_format=torch.channels_last))
    loss = localization_loss(
        pred, boxes, box_loss=config.box_loss, iou_loss=config.iou_loss, box_loss_weight=config.box_loss_weight
    )
    state.update(loss * share)
    return loss.detach()


def _share(state: TrainState, batch: int) -> float:
    """Return the fraction of a batch that is this rank's."""
    return len(state.ranks.shard(torch.arange(batch))) / batch


def _shuffled(images: int, config: TrainConfig, *, epoch: int) -> Sequence[Tensor]:
    """Return an epoch's shuffled batches as rows of the samples; the last may be smaller."""
    order = torch.from_numpy(np.random.default_rng((config.seed, epoch, SHUFFLE)).permutation(images))
    return order.split(min(config.batch_size, images))


def _mean_of_finite(losses: Tensor, batches: Sequence[Tensor], names: Sequence[str], *, epoch: int) -> float:
    """Return the mean loss; ValueError with epoch, step and images of the first loss that is not finite."""
    bad = torch.nonzero(~torch.isfinite(losses))
    if len(bad):
        step = int(bad[0])
        files = f", on {', '.join(names[row] for row in batches[step].tolist())}" if len(names) else ""
        raise ValueError(f"the loss is not finite at epoch {epoch}, step {step + 1}{files}; try a lower train.lr")
    return float(losses.mean())
