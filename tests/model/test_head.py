"""The head: every cell's box, and the one that the heat map makes of them."""

import pytest
import torch
from torch import Tensor, nn

from localizer.model.head import WIDTH, BoxHead, CellBoxes

CHANNELS = (4, 6, 8)
SIDES = [(8, 4, 2), (5, 3, 2), (13, 7, 4), (1, 1, 1)]  # of the three maps: of images of 64, 33 to 40, 97 and 8 pixels


def features(sides: tuple[int, ...], *, scale: float = 1.0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    pairs = zip(CHANNELS, sides, strict=True)
    return [scale * torch.randn(3, count, side, side + 1, generator=generator) for count, side in pairs]


def trained() -> BoxHead:
    """Return a head with random numbers in place of the zeros that its last layer starts with."""
    torch.manual_seed(0)
    head = BoxHead(CHANNELS)
    nn.init.normal_(head.cell.weight)
    return head.eval()


def pointing_at(*cells: tuple[int, int]) -> Tensor:
    """Return the boxes of a head whose heat map, of 4 x 4 cells, is hot at these cells, each (row, column)."""
    head = BoxHead(CHANNELS).eval()
    nn.init.constant_(head.cell.weight[0], 100.0)
    feature_map = torch.zeros(1, WIDTH, 4, 4)
    for row, column in cells:
        feature_map[0, 0, row, column] = 1
    head.merge = nn.Sequential(_Constant(feature_map))
    boxes = head([torch.zeros(1, count, 4, 4) for count in CHANNELS])
    assert isinstance(boxes, Tensor)
    return boxes


class _Constant(nn.Module):
    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output

    def forward(self, _: Tensor) -> Tensor:
        return self.output


@pytest.mark.parametrize("sides", SIDES)
def test_a_new_head_predicts_the_same_centered_box_for_any_features(sides: tuple[int, ...]) -> None:
    boxes = BoxHead(CHANNELS).eval()(features(sides))
    torch.testing.assert_close(boxes, torch.tensor([0.25, 0.25, 0.75, 0.75]).expand(3, 4))


@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_any_features_give_valid_boxes(sides: tuple[int, ...], scale: float) -> None:
    boxes = trained()(features(sides, scale=scale))
    assert ((boxes >= 0) & (boxes <= 1)).all()
    assert (boxes[:, :2] <= boxes[:, 2:]).all()


def test_the_box_lies_around_the_hot_cell() -> None:
    x, y = 2.5 / 4, 1.5 / 4  # and the cell's edges are a quarter away
    torch.testing.assert_close(pointing_at((1, 2)), torch.tensor([[x - 0.25, y - 0.25, x + 0.25, y + 0.25]]))


def test_a_box_that_reaches_over_the_edge_ends_there() -> None:
    assert pointing_at((0, 3))[0, 1:3].tolist() == [0, 1]


def test_between_two_hot_cells_the_box_lies_in_the_middle() -> None:
    torch.testing.assert_close(pointing_at((1, 1), (1, 2)), torch.tensor([[0.25, 0.125, 0.75, 0.625]]))


def test_in_training_it_gives_every_cells_box_too() -> None:
    output = trained().train()(features((5, 3, 2)))
    assert isinstance(output, CellBoxes)
    assert (output.boxes.shape, output.cells.shape, output.inside.shape) == ((3, 4), (3, 5, 6, 4), (3, 5, 6))
    assert (output.cells[..., :2] < output.cells[..., 2:]).all()


def test_features_of_every_stride_reach_the_box() -> None:
    head = trained()
    for level in range(len(CHANNELS)):
        changed = features((8, 4, 2))
        changed[level][:, :, 0, 0] += 3
        assert not torch.allclose(head(changed), head(features((8, 4, 2))), atol=1e-4)
