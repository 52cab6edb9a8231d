"""The box head: each cell of a fine feature map predicts a box, and a heat map weights them into one.

Features of several strides are summed as in FPN (Lin et al. 2017, arXiv:1612.03144), a cell predicts its distances to
the box's edges as in FCOS (Tian et al. 2019, arXiv:1904.01355), and the weighted mean is integral regression (Sun et
al. 2018, arXiv:1711.08229).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from localizer.model.resnet import Conv2d

WIDTH = 128  # channels of the feature map that the cells read
START = -math.log(3)  # sigmoid(START) is 1/4: a new head predicts the centered box of half the width and height


class CellBoxes(NamedTuple):
    """What the head computes, for the loss: every cell's answer, and the one that is made of them.

    boxes: [N, 4] xyxy; cells: [N, H, W, 4] xyxy, ordered, which may reach over the image; inside: logits [N, H, W] of
    the fraction of each cell that the box covers. H and W are a stride of 8 pixels.
    """

    boxes: Tensor
    cells: Tensor
    inside: Tensor


class BoxHead(nn.Module):
    """From the features of layer2, layer3 and layer4 (strides 8, 16, 32) to boxes [N, 4] xyxy in [0, 1].

    Every output is a valid box. In training mode the output is `CellBoxes`. The last layer starts at zero, so that
    training starts from the centered box of half the width and height.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(
            nn.Sequential(Conv2d(count, WIDTH, 1), nn.BatchNorm2d(WIDTH)) for count in channels
        )
        self.relu = nn.ReLU(inplace=True)
        self.merge = nn.Sequential(Conv2d(WIDTH, WIDTH, 3), nn.BatchNorm2d(WIDTH), nn.ReLU(inplace=True))
        self.cell = nn.Conv2d(WIDTH, 6, 1)  # heat, inside, and the distances to the left, top, right and bottom edges
        for parameter in self.cell.parameters():
            nn.init.zeros_(parameter)

    def forward(self, features: Sequence[Tensor]) -> Tensor | CellBoxes:
        maps = [layer(feature) for layer, feature in zip(self.lateral, features, strict=True)]
        size = maps[0].shape[2:]
        merged = self.merge(self.relu(sum(_repeat(coarse, size) for coarse in maps[1:]) + maps[0]))
        output = self.cell(merged).float().permute(0, 2, 3, 1)
        heat, inside, distances = output[..., 0], output[..., 1], torch.sigmoid(output[..., 2:] + START)
        centers = _centers(*size, device=output.device)
        cells = torch.cat([centers - distances[..., :2], centers + distances[..., 2:]], dim=3)
        weights = heat.flatten(1).softmax(dim=1)[:, :, None]
        boxes = (weights * cells.flatten(1, 2)).sum(1).clamp(0, 1)
        return CellBoxes(boxes, cells, inside) if self.training else boxes


def _repeat(coarse: Tensor, size: torch.Size) -> Tensor:
    """Repeat the cells of a map [N, C, h, w] to [N, C, H, W], where H is about a multiple of h."""
    return nn.functional.interpolate(coarse, size=list(size), mode="nearest")


def _centers(height: int, width: int, *, device: torch.device) -> Tensor:
    """Return the centers of the cells, [H, W, 2] xy in [0, 1]."""
    y, x = ((torch.arange(count, device=device) + 0.5) / count for count in (height, width))
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)], dim=2)
