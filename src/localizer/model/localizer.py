"""The network: from the pixels of a square image to one box."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from localizer.model.head import BoxHead, CellBoxes
from localizer.model.resnet import Depth, ResNet, channels

# Mean and standard deviation of ImageNet's RGB in [0, 1], as torchvision's ResNet weights expect.
RGB_MEAN = (0.485, 0.456, 0.406)
RGB_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Architecture:
    """The network's architecture. depth: of the ResNet."""

    depth: Depth


class Localizer(nn.Module):
    """Normalization, ResNet and head: RGB [N, 3, S, S], uint8 or float in [0, 255] -> boxes [N, 4] xyxy in [0, 1].

    There is exactly one box per image, even if it shows no object. In training mode the output is `CellBoxes`.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture, depth = architecture, architecture.depth
        self.backbone = ResNet(BoxHead(channels(depth)), depth=depth)
        self.register_buffer("mean", 255 * torch.tensor(RGB_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(RGB_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor | CellBoxes:
        return self.backbone((pixels.float() - self.mean) / self.std)
