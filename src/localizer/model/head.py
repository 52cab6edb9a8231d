"""Box heads: from the features of layer4 to one box, which is always valid."""

from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

HeadName = Literal["heatmap", "grid"]

LayerT = TypeVar("LayerT", nn.Linear, nn.Conv2d)


def make_head(name: HeadName, channels: int, *, grid: int) -> nn.Module:
    """Return a head from features [N, channels, H, W] to boxes [N, 4] xyxy in [0, 1]; `grid` is for GridHead."""
    return HeatmapHead(channels) if name == "heatmap" else GridHead(channels, grid=grid)


class GridHead(nn.Module):
    """Average pooling to grid x grid cells and a linear layer: [N, C, H, W] -> [N, 4].

    Global average pooling (grid 1) loses the position of a feature; a finer grid keeps it. The linear layer is
    initialized to zero, so that training starts from the centered box `decode(0)`.
    """

    def __init__(self, channels: int, *, grid: int) -> None:
        super().__init__()
        self.grid = grid
        self.linear = _zero(nn.Linear(channels * grid * grid, 4))

    def forward(self, features: Tensor) -> Tensor:
        rows = torch.stack([features[:, :, cell].mean(2) for cell in _cells(features.shape[2], self.grid)], dim=2)
        pooled = torch.stack([rows[..., cell].mean(3) for cell in _cells(features.shape[3], self.grid)], dim=3)
        return decode(self.linear(pooled.flatten(1)).float())


class HeatmapHead(nn.Module):
    """One heat map over the cells: its mean position places the box, the features it weights give the size.

    The mean position is a soft-argmax (Nibali et al. 2018, arXiv:1801.07372).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heat = _zero(nn.Conv2d(channels, 1, 1))
        self.size = _zero(nn.Linear(channels, 2))

    def forward(self, features: Tensor) -> Tensor:
        heat = self.heat(features).float().flatten(1).softmax(dim=1).view(-1, 1, *features.shape[2:])
        y, x = (_positions(length, features) for length in features.shape[2:])
        place = torch.stack([(heat.sum(dim=(1, 2)) * x).sum(1), (heat.sum(dim=(1, 3)) * y).sum(1)], dim=1)
        pooled = (heat * features).sum(dim=(2, 3))
        return boxes_at(place, torch.sigmoid(self.size(pooled).float()))


def decode(raw: Tensor) -> Tensor:
    """Return boxes [N, 4] xyxy in [0, 1], xmin <= xmax and ymin <= ymax, for any finite raw [N, 4].

    The last two numbers set the size, the first two the position within the room that the size leaves: decode(0) is the
    centered box of half the width and height.
    """
    place, size = torch.sigmoid(raw).split(2, dim=1)
    return boxes_at(place, size)


def boxes_at(place: Tensor, size: Tensor) -> Tensor:
    """Return boxes [N, 4] xyxy from sizes [N, 2] and positions [N, 2] within the room left, all in [0, 1]."""
    start = place * (1 - size)
    return torch.cat([start, (start + size).clamp(max=1)], dim=1)


def _zero(layer: LayerT) -> LayerT:
    """Initialize the layer's parameters to zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def _cells(length: int, grid: int) -> list[slice]:
    """Return the cells of AdaptiveAvgPool2d along one axis; its own gradient is not deterministic on a GPU."""
    return [slice(cell * length // grid, -(-(cell + 1) * length // grid)) for cell in range(grid)]


def _positions(length: int, features: Tensor) -> Tensor:
    """Return the positions of the cells along one axis, from 0 to 1; 0.5 for a single cell."""
    if length == 1:
        return torch.full((1,), 0.5, device=features.device)
    return torch.linspace(0, 1, length, device=features.device)
