"""A small network, a config, and images of one bright square, whose box is known."""

import torch

from localizer.model.augmentation import Augmentation
from localizer.model.localizer import Architecture, Localizer
from localizer.training.samples import Samples
from localizer.training.state import TrainConfig

SMALL = Architecture(depth=18)
RECIPE = TrainConfig(
    epochs=2,
    batch_size=4,
    lr=1e-3,
    backbone_lr=1.0,
    weight_decay=0.05,
    warmup=0.1,
    clip=0.0,
    ema_decay=0.0,
    bf16=False,
    compile="off",
    sync_batch_norm=False,
    box_loss="l1",
    iou_loss="giou",
    box_loss_weight=5.0,
    augmentation=Augmentation(horizontal_flip=0.5, color_jitter=0.1),
    seed=0,
)


def squares(count: int, *, seed: int = 0) -> Samples:
    """Return grey 32 px images, each with one white square of 12 px."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.full((count, 3, 32, 32), 100, dtype=torch.uint8)
    starts = torch.randint(0, 20, (count, 2), generator=generator)
    for image, (x, y) in zip(pixels, starts.tolist(), strict=True):
        image[:, y : y + 12, x : x + 12] = 255
    return Samples(pixels, torch.cat([starts, starts + 12], dim=1) / 32)


def weights(model: Localizer) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
