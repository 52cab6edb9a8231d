"""The one-file script that this project grew from, rebuilt from its description, to measure against."""

import csv
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.models import resnet50
from tqdm import tqdm

BATCH = 4
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class SeedImages(Dataset[tuple[Tensor, Tensor]]):
    """Rows of image, x, y, height, width: a flip and a jitter that the boxes know nothing of, one global scale."""

    def __init__(self, table: Path, *, side: int | None) -> None:
        """`side` resizes the images, which the script leaves to its user."""
        with table.open(encoding="utf-8") as file:
            self.rows = list(csv.reader(file))[1:]
        self.largest = max(float(number) for row in self.rows for number in row[1:])
        self.transform = transforms.Compose(
            [
                *([transforms.Resize((side, side))] if side else []),
                transforms.RandomHorizontalFlip(),
                transforms.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.2),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        path, *box = self.rows[number]
        return self.transform(Image.open(path)), torch.tensor([float(number) / self.largest for number in box])


def seed_network() -> nn.Module:
    """Return ResNet-50 with four outputs, whose convolutions all have a bias, as torch initialises it."""
    network = resnet50(num_classes=4)
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Conv2d):
                setattr(module, name, with_bias(child))
    return network


def with_bias(layer: nn.Conv2d) -> nn.Conv2d:
    size, stride, padding = layer.kernel_size[0], layer.stride[0], int(layer.padding[0])
    return nn.Conv2d(layer.in_channels, layer.out_channels, size, stride=stride, padding=padding)


class SeedStep:
    """One step of its loop: MSE and Adam at 1e-3, in fp32 by torch's defaults, whose loss is read each time."""

    def __init__(self, device: torch.device) -> None:
        self.network, self.device = seed_network().to(device).train(), device
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-3)
        self.loss = nn.MSELoss()

    def __call__(self, images: Tensor, boxes: Tensor) -> float:
        with torch_defaults():
            self.optimizer.zero_grad()
            loss = self.loss(self.network(images), boxes)
            loss.backward()
            self.optimizer.step()
            return float(loss.item())


@contextmanager
def torch_defaults() -> Iterator[None]:
    """Compute as torch does where nothing is set: on a GPU with TF32 in convolutions, and any algorithm."""
    convolution = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    before = convolution.fp32_precision, torch.are_deterministic_algorithms_enabled()
    convolution.fp32_precision = "tf32"
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        convolution.fp32_precision = before[0]
        torch.use_deterministic_algorithms(before[1])


def epochs(images: Dataset[tuple[Tensor, Tensor]], step: SeedStep, *, batch_size: int = BATCH) -> Iterator[float]:
    """Train as the script does; yield the images a second of each epoch."""
    loader = DataLoader(images, batch_size=batch_size, shuffle=True)
    while True:
        started, count = time.perf_counter(), 0
        with tqdm(loader, disable=None) as bar:
            for pixels, boxes in bar:
                bar.set_postfix(loss=step(pixels.to(step.device), boxes.to(step.device)))
                count += len(boxes)
        yield count / (time.perf_counter() - started)


@torch.no_grad()
def predicted(images: SeedImages, step: SeedStep, rows: Sequence[int]) -> np.ndarray:
    """Return the boxes of some rows, xyxy in the table's unit; the script has no prediction without augmentation."""
    network, plain = step.network.eval(), transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    pixels = torch.stack([plain(Image.open(images.rows[row][0])) for row in rows])
    x, y, height, width = (network(pixels.to(step.device)).cpu().double() * images.largest).numpy().T
    return np.stack([x, y, x + width, y + height], axis=1)
