"""What each rank of a small training does: `python -m torch.distributed.run … ranks_toy.py WHAT FOLDER`.

Each leaves FOLDER/RANK.safetensors; a process without torchrun is rank 0 of one.
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from test_engine import RECIPE, SMALL, squares
from torch import Tensor

from localizer.model.localizer import Localizer
from localizer.training.course import Course
from localizer.training.engine import fit, train_step
from localizer.training.ranks import Ranks, joined
from localizer.training.state import Recipe, State

HOW = replace(RECIPE, batch_size=8, clip=1.0, average=0.5)
IMAGES, VALIDATED = 20, 5


def state_of(recipe: Recipe, ranks: Ranks) -> State:
    torch.manual_seed(recipe.seed)
    return State(Localizer(SMALL), recipe, images=IMAGES, ranks=ranks)


def gradients(ranks: Ranks) -> dict[str, Tensor]:
    """The gradient of one batch of 8, with BatchNorm as in evaluation, and the rows of all ranks."""
    recipe, samples = replace(HOW, clip=0.0), squares(8)
    state = state_of(recipe, ranks)
    state.model.eval()
    rows = ranks.share(torch.arange(8))
    train_step(state, samples.pixels[rows].float(), samples.boxes[rows], recipe=recipe, share=len(rows) / 8)
    return {name: weight.grad for name, weight in state.model.named_parameters() if weight.grad is not None}


def trained(ranks: Ranks, recipe: Recipe = HOW) -> dict[str, Tensor]:
    """All of the state after a training, and its records but for times."""
    state = state_of(recipe, ranks)
    epochs = list(fit(state, squares(IMAGES), squares(VALIDATED, seed=9), recipe=recipe))
    records = [[epoch.epoch, epoch.lr, epoch.loss, epoch.val_iou, epoch.spread] for epoch in epochs]
    return state.tensors() | {"records": torch.tensor(records, dtype=torch.float64)}


def frozen(ranks: Ranks) -> dict[str, Tensor]:
    """The same of a training of the head alone, whose BatchNorm doesn't depend on what else is in the batch."""
    return trained(ranks, replace(HOW, backbone_lr=0.0))


def stopped(ranks: Ranks) -> dict[str, Tensor]:
    """How many of 20 epochs were made: it stops after the first that brings no better validation IoU."""
    recipe = replace(HOW, epochs=20, lr=3e-3)
    course = Course(state_of(recipe, ranks), None)
    epochs = fit(course.state, squares(IMAGES), squares(VALIDATED, seed=9), recipe=recipe)
    return {"epochs": torch.tensor([epoch.epoch for epoch in course.taking(epochs, patience=1)])}


def diverging(ranks: Ranks) -> dict[str, Tensor]:
    """Nothing: the loss becomes infinite on the way."""
    samples = squares(IMAGES)
    samples.boxes[3] = float("nan")
    named = replace(samples, names=[f"{number}.png" for number in range(IMAGES)])
    list(fit(state_of(HOW, ranks), named, squares(VALIDATED, seed=9), recipe=HOW))
    return {}


WORKS = {one.__name__: one for one in (gradients, trained, frozen, stopped, diverging)}

if __name__ == "__main__":
    what, folder = sys.argv[1:]
    with joined(torch.device("cpu")) as ranks:
        try:
            tensors = WORKS[what](ranks)
        except ValueError as error:
            Path(folder, f"{ranks.rank}.txt").write_text(str(error))
        else:
            save_file(
                {name: one.contiguous() for name, one in tensors.items()}, Path(folder, f"{ranks.rank}.safetensors")
            )
