"""What the speed bench times: batches, photographs, our state of training, and a peer's network."""

import csv
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor, nn

from bench.kept import ROOT
from localizer import config
from localizer.device import choose_device, describe
from localizer.model.localizer import Architecture, Localizer
from localizer.model.losses import box_losses
from localizer.model.resnet import Depth
from localizer.training.distributed import ALONE, Ranks
from localizer.training.params import TrainParams
from localizer.training.state import TrainConfig, TrainState

PARAMS = config.load("train", TrainParams, path=ROOT / "params.yaml")


class Peer:
    """A step of another network with our loss, optimiser, precision and memory format, on normalised images."""

    def __init__(self, network: nn.Module, how: TrainConfig, device: torch.device) -> None:
        self.network, self.how = network.to(device).to(memory_format=torch.channels_last).train(), how
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=how.lr, fused=True)

    def __call__(self, images: Tensor, boxes: Tensor) -> None:
        how = self.how
        with torch.autocast(images.device.type, torch.bfloat16, enabled=how.bf16):
            raw = self.network(images)
        loss = box_losses(
            raw.float().sigmoid(), boxes, box_loss=how.box_loss, iou_loss=how.iou_loss, weight=how.box_loss_weight
        ).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def state(
    device: torch.device,
    *,
    images: int,
    batch: int = 8,
    epochs: int = 1,
    depth: Depth = 50,
    ranks: Ranks = ALONE,
    **changed: Any,
) -> tuple[TrainState, TrainConfig]:
    """Return a ResNet of ours as it starts, by the config of params.yaml at another batch and length."""
    how = replace(PARAMS.train_config(device), batch_size=batch, epochs=epochs, ema_decay=0.0, **changed)
    model = Localizer(Architecture(depth)).to(device).to(memory_format=torch.channels_last)
    made = TrainState(model, how, images=images, ranks=ranks)
    made.train_mode()
    return made, how


def batch_of(images: int, side: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return random pixels uint8 [N, 3, side, side], in memory as decoded images are, and boxes [N, 4]."""
    random = np.random.default_rng(0)
    pixels = torch.from_numpy(random.integers(0, 256, (images, side, side, 3), dtype=np.uint8)).permute(0, 3, 1, 2)
    corners = torch.from_numpy(random.random((images, 4), dtype=np.float32)) / 2
    return pixels.to(device), (corners + torch.tensor([0, 0, 0.5, 0.5])).to(device)


def photographs(folder: Path, count: int, *, side: int | None = None) -> tuple[Path, list[Path], list[str]]:
    """Make JPEGs of 640 x 427, or square ones, a little different each; return their table, paths and SHA-256."""
    folder.mkdir(parents=True, exist_ok=True)
    photos = [Image.fromarray(photo) for photo in load_sample_images().images]
    paths = [folder / f"{number}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        moved = photos[number % 2].transform(photos[0].size, Image.Transform.AFFINE, (1, 0, number % 64, 0, 1, 0))
        (moved.resize((side, side)) if side else moved).save(path, quality=90)
    with (folder / "boxes.csv").open("w", newline="", encoding="utf-8") as file:
        rows = ([path, 20, 30, 100, 120] for path in paths)
        csv.writer(file).writerows([["image", "x", "y", "height", "width"], *rows])
    return folder / "boxes.csv", paths, [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]


def where() -> str:
    return describe(choose_device("auto"))
