"""Box heads: features of layer4 to one box that is always valid."""

from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

HeadName = Literal["grid", "coordinates", "heatmap"]
HIDDEN = 256  # channels of the coordinate head

LayerT = TypeVar("LayerT", nn.Linear, nn.Conv2d)


def make_head(name: HeadName, channels: int, *, grid: int) -> nn.Module:
    """Return a head for features [N, channels, H, W]: it gives boxes [N, 4] xyxy in [0, 1]; `grid` is GridHead's."""
    if name == "grid":
        return GridHead(channels, grid=grid)
    return CoordinateHead(channels) if name == "coordinates" else HeatmapHead(channels)


class GridHead(nn.Module):
    """Averages features to a grid x grid map and regresses four numbers from all its cells: [N, C, H, W] -> [N, 4].

    Global average pooling (grid 1) throws away where a feature was found; a grid keeps it. The last layer
    starts at zero, so that training starts at the centred box of `decode(0)`.
    """

    def __init__(self, channels: int, *, grid: int) -> None:
        super().__init__()
        self.grid = grid
        self.linear = _zero(nn.Linear(channels * grid * grid, 4))

    def forward(self, features: Tensor) -> Tensor:
        rows = torch.stack([features[:, :, cell].mean(2) for cell in _cells(features.shape[2], self.grid)], dim=2)
        pooled = torch.stack([rows[..., cell].mean(3) for cell in _cells(features.shape[3], self.grid)], dim=3)
        return decode(self.linear(pooled.flatten(1)).float())


class CoordinateHead(nn.Module):
    """Tells each cell where it is, as two channels in [-1, 1] (Liu et al. 2018, arXiv:1807.03247), before pooling."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Sequential(
            nn.Conv2d(channels + 2, HIDDEN, 1, bias=False), nn.BatchNorm2d(HIDDEN), nn.ReLU(inplace=True)
        )
        self.linear = _zero(nn.Linear(HIDDEN, 4))

    def forward(self, features: Tensor) -> Tensor:
        y, x = (2 * _places(length, features) - 1 for length in features.shape[2:])
        where = torch.stack(torch.meshgrid(y, x, indexing="ij")).expand(len(features), -1, -1, -1)
        mixed = self.mix(torch.cat([features, where], dim=1))
        return decode(self.linear(mixed.mean(dim=(2, 3))).float())


class HeatmapHead(nn.Module):
    """Weighs the cells by one heat map: where it lies is the place, what it weighs tells the size.

    The place is the map's mean position (soft-argmax, Nibali et al. 2018, arXiv:1801.07372).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heat = _zero(nn.Conv2d(channels, 1, 1))
        self.size = _zero(nn.Linear(channels, 2))

    def forward(self, features: Tensor) -> Tensor:
        heat = self.heat(features).float().flatten(1).softmax(dim=1).view(-1, 1, *features.shape[2:])
        y, x = (_places(length, features) for length in features.shape[2:])
        place = torch.stack([(heat.sum(dim=(1, 2)) * x).sum(1), (heat.sum(dim=(1, 3)) * y).sum(1)], dim=1)
        seen = (heat * features).sum(dim=(2, 3))
        return boxes_at(place, torch.sigmoid(self.size(seen).float()))


def decode(raw: Tensor) -> Tensor:
    """Return boxes [N, 4] xyxy in [0, 1], xmin <= xmax and ymin <= ymax, for any finite raw [N, 4].

    The last two numbers set the size, the first two where in the room that is left the box begins:
    decode(0) is the centred box of half the width and height.
    """
    place, size = torch.sigmoid(raw).split(2, dim=1)
    return boxes_at(place, size)


def boxes_at(place: Tensor, size: Tensor) -> Tensor:
    """Return boxes [N, 4] xyxy of a size [N, 2], that begin at a place [N, 2] in the room left; all in [0, 1]."""
    start = place * (1 - size)
    return torch.cat([start, (start + size).clamp(max=1)], dim=1)


def _zero(layer: LayerT) -> LayerT:
    """Return the layer with all its numbers 0."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def _cells(length: int, grid: int) -> list[slice]:
    """Return the cells of AdaptiveAvgPool2d along one side, whose own gradient is not deterministic on a GPU."""
    return [slice(cell * length // grid, -(-(cell + 1) * length // grid)) for cell in range(grid)]


def _places(length: int, features: Tensor) -> Tensor:
    """Return where the cells of one side lie, from 0 for the first to 1 for the last; 0.5 for the only one."""
    if length == 1:
        return torch.full((1,), 0.5, device=features.device)
    return torch.linspace(0, 1, length, device=features.device)
