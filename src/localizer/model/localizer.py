"""The whole network: pixels of a square image in, one box out."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from localizer.model.head import HeadName, make_head
from localizer.model.resnet import ResNet, channels

# Mean and standard deviation of ImageNet's RGB in [0, 1], as torchvision's ResNet weights want them.
RGB_MEAN = (0.485, 0.456, 0.406)
RGB_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Architecture:
    """The network's shape. depth: of ResNet, 18, 34, 50, 101 or 152; grid: cells a side of the grid head."""

    depth: int
    head: HeadName
    grid: int


class Localizer(nn.Module):
    """Normalises, runs ResNet and its head: RGB [N, 3, S, S], uint8 or float in [0, 255] -> boxes [N, 4].

    Boxes are xyxy in [0, 1]: there is always exactly one an image, also where no object is.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture, depth = architecture, architecture.depth
        head = make_head(architecture.head, channels(depth), grid=architecture.grid)
        self.backbone = ResNet(head, depth=depth)
        self.register_buffer("mean", 255 * torch.tensor(RGB_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(RGB_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.backbone((pixels.float() - self.mean) / self.std)
