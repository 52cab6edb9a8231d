"""What each rank of a small training does: `python -m torch.distributed.run … ranks_toy.py FOLDER WHAT …`.

Of each work it leaves FOLDER/WHAT-RANK.safetensors, or .txt with the words of an error; a process without torchrun is
rank 0 of one.
"""

import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from training_toy import RECIPE, SMALL, squares

from localizer.model.fuse import fuse_batch_norm
from localizer.model.localizer import Localizer
from localizer.training import distributed as patience
from localizer.training.distributed import Ranks, process_group
from localizer.training.loop import EpochRecord, fit, stops_early, train_step
from localizer.training.session import TrainingSession
from localizer.training.state import TrainConfig, TrainState

HOW = replace(RECIPE, batch_size=8, clip=1.0, ema_decay=0.5)
IMAGES, VALIDATED = 20, 5
SILENCE_S = 5  # that a rank may be silent in the works `waiting` and `silent`


def state_of(config: TrainConfig, ranks: Ranks) -> TrainState:
    torch.manual_seed(config.seed)
    model = Localizer(SMALL).to(memory_format=torch.channels_last)
    if not config.backbone_lr:
        fuse_batch_norm(model.backbone.fc.eval())
    return TrainState(model, config, images=IMAGES, ranks=ranks)


def first_weights(ranks: Ranks) -> dict[str, Tensor]:
    """The state before the first step, where each rank has initialized its model by another seed."""
    return state_of(replace(HOW, seed=ranks.rank), ranks).tensors()


def gradients(ranks: Ranks) -> dict[str, Tensor]:
    """The gradient of one batch of 8, with BatchNorm as in evaluation, and the rows of all ranks."""
    config, samples = replace(HOW, clip=0.0), squares(8)
    state = state_of(config, ranks)
    state.model.eval()
    state.model.backbone.fc.training = True  # for every cell's box; the layers below it stay as they are
    rows = ranks.shard(torch.arange(8))
    train_step(state, samples.pixels[rows].float() / 255, samples.boxes[rows], config=config, share=len(rows) / 8)
    return {name: weight.grad for name, weight in state.model.named_parameters() if weight.grad is not None}


def values(epoch: EpochRecord) -> list[float]:
    """The record but for times."""
    return [epoch.epoch, epoch.lr, epoch.loss, epoch.val_iou, epoch.spread]


def trained(ranks: Ranks, config: TrainConfig = HOW) -> dict[str, Tensor]:
    """All of the state after a training, and its records but for times."""
    state = state_of(config, ranks)
    records = [values(epoch) for epoch in fit(state, squares(IMAGES), squares(VALIDATED, seed=9), config=config)]
    return state.tensors() | {"records": torch.tensor(records, dtype=torch.float64)}


def other_seed(ranks: Ranks) -> dict[str, Tensor]:
    """The same with another seed."""
    return trained(ranks, replace(HOW, seed=1))


def resumed(ranks: Ranks) -> dict[str, Tensor]:
    """The same as `trained`, but that a new state goes on after the first epoch."""
    first, samples = state_of(HOW, ranks), (squares(IMAGES), squares(VALIDATED, seed=9))
    records = [values(next(fit(first, *samples, config=HOW)))]
    state = state_of(HOW, ranks)
    state.restore(first.tensors(), epoch=first.epoch)
    records += [values(epoch) for epoch in fit(state, *samples, config=HOW)]
    return state.tensors() | {"records": torch.tensor(records, dtype=torch.float64)}


def frozen(ranks: Ranks) -> dict[str, Tensor]:
    """The same of a training of the head alone, without BatchNorm: nothing depends on what else is in the batch."""
    return trained(ranks, replace(HOW, backbone_lr=0.0))


def stopped(ranks: Ranks) -> dict[str, Tensor]:
    """How many of 20 epochs were made: it stops after the first that brings no better validation IoU."""
    config = replace(HOW, epochs=20, lr=3e-3)
    session = TrainingSession(state_of(config, ranks), None)
    for epoch in fit(session.state, squares(IMAGES), squares(VALIDATED, seed=9), config=config):
        session.add(epoch)
        if stops_early(session.history, patience=1):
            break
    return {"epochs": torch.tensor([epoch.epoch for epoch in session.history])}


def diverging(ranks: Ranks) -> dict[str, Tensor]:
    """Nothing: the loss becomes infinite on the way."""
    samples = squares(IMAGES)
    samples.boxes[3] = float("nan")
    named = replace(samples, names=[f"{number}.png" for number in range(IMAGES)])
    list(fit(state_of(HOW, ranks), named, squares(VALIDATED, seed=9), config=HOW))
    return {}


def unlike(ranks: Ranks) -> dict[str, Tensor]:
    """Nothing: the last rank has another version, and a fact that the others lack."""
    last = ranks.rank == ranks.world_size - 1
    ranks.check_consistent({"seed": "0", "torch": f"2.{last:d}"} | ({"code": "new"} if last else {}))
    return {}


def alike(ranks: Ranks) -> dict[str, Tensor]:
    """Nothing, and no error either."""
    ranks.check_consistent({"seed": "0", "code": "é" * 200})
    return {}


def waiting(ranks: Ranks) -> dict[str, Tensor]:
    """Nothing: the first rank works alone for longer than it may be silent, wherever others have to wait for it."""
    alone_s = SILENCE_S + 1 if ranks.is_main else 0
    time.sleep(alone_s)  # as it decodes images
    state = state_of(HOW, ranks)
    time.sleep(alone_s)  # as it reads a checkpoint
    ranks.broadcast(b"checkpoint")
    for epoch in fit(state, squares(IMAGES), squares(VALIDATED, seed=9), config=HOW):
        time.sleep(alone_s if epoch.epoch == 1 else 0)  # as it records an epoch
    return {}


def silent(ranks: Ranks) -> dict[str, Tensor]:
    """Nothing: the last rank hangs, with its connections open."""
    time.sleep(0 if ranks.is_main else 600)
    ranks.all_reduce(torch.ones(1))
    return {}


WORKS = {
    one.__name__: one
    for one in (
        first_weights,
        gradients,
        trained,
        other_seed,
        resumed,
        frozen,
        stopped,
        diverging,
        alike,
        unlike,
        waiting,
        silent,
    )
}


def do(what: str, folder: Path, ranks: Ranks) -> None:
    try:
        tensors = WORKS[what](ranks)
    except ValueError as error:
        (folder / f"{what}-{ranks.rank}.txt").write_text(str(error))
    else:
        save_file(
            {name: one.contiguous() for name, one in tensors.items()}, folder / f"{what}-{ranks.rank}.safetensors"
        )


if __name__ == "__main__":
    place, *works = sys.argv[1:]
    if "silent" in works:
        patience.STEP_TIMEOUT = timedelta(seconds=SILENCE_S)
    with process_group(torch.device("cpu")) as own:
        for work in works:
            do(work, Path(place), own)
