"""The whole network: pixels of a square image in, one box out."""

import torch
from torch import Tensor, nn

from localizer.model.head import GridHead, decode
from localizer.model.resnet import CHANNELS, ResNet50

# Mean and standard deviation of ImageNet's RGB in [0, 1], as torchvision's ResNet-50 weights want them.
RGB_MEAN = (0.485, 0.456, 0.406)
RGB_STD = (0.229, 0.224, 0.225)


class Localizer(nn.Module):
    """Normalises, runs ResNet-50 and decodes: RGB [N, 3, S, S], uint8 or float in [0, 255] -> boxes [N, 4].

    Boxes are xyxy in [0, 1]: there is always exactly one an image, also where no object is.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, *, grid: int) -> None:
        super().__init__()
        self.backbone = ResNet50(GridHead(CHANNELS, grid=grid))
        self.register_buffer("mean", 255 * torch.tensor(RGB_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(RGB_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        images = (pixels.float() - self.mean) / self.std
        return decode(self.backbone(images).float())
