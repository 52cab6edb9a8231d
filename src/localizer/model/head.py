"""The box head: features of layer4 to one box that is always valid."""

import torch
from torch import Tensor, nn


class GridHead(nn.Module):
    """Averages features to a grid x grid map and regresses four numbers from all its cells: [N, C, H, W] -> [N, 4].

    Global average pooling (grid 1) throws away where a feature was found; a grid keeps it. The last layer
    starts at zero, so that training starts at the centred box of `decode(0)`.
    """

    def __init__(self, channels: int, *, grid: int) -> None:
        super().__init__()
        self.grid = grid
        self.linear = nn.Linear(channels * grid * grid, 4)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor) -> Tensor:
        rows = torch.stack([features[:, :, cell].mean(2) for cell in _cells(features.shape[2], self.grid)], dim=2)
        pooled = torch.stack([rows[..., cell].mean(3) for cell in _cells(features.shape[3], self.grid)], dim=3)
        return self.linear(pooled.flatten(1))


def _cells(length: int, grid: int) -> list[slice]:
    """Return the cells of AdaptiveAvgPool2d along one side, whose own gradient is not deterministic on a GPU."""
    return [slice(cell * length // grid, -(-(cell + 1) * length // grid)) for cell in range(grid)]


def decode(raw: Tensor) -> Tensor:
    """Return boxes [N, 4] xyxy in [0, 1], xmin <= xmax and ymin <= ymax, for any finite raw [N, 4].

    The last two numbers set the size, the first two where in the room that is left the box begins:
    decode(0) is the centred box of half the width and height.
    """
    place, size = torch.sigmoid(raw).split(2, dim=1)
    start = place * (1 - size)
    return torch.cat([start, (start + size).clamp(max=1)], dim=1)
