"""The loss by hand-worked numbers and against torchvision, in value and gradient."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torchvision.ops import complete_box_iou_loss, generalized_box_iou_loss

from localizer.model.head import CellBoxes
from localizer.model.losses import (
    BoxLoss,
    IouLoss,
    box_losses,
    ciou_loss,
    coverage,
    giou_loss,
    localization_loss,
)

LEFT = torch.tensor([[0.0, 0.0, 0.5, 1.0]])
RIGHT = torch.tensor([[0.5, 0.0, 1.0, 1.0]])
PAIRS = [(giou_loss, generalized_box_iou_loss), (ciou_loss, complete_box_iou_loss)]


def random_boxes(count: int, *, seed: int) -> Tensor:
    corners = torch.rand(count, 2, 2, generator=torch.Generator().manual_seed(seed))
    return torch.cat([corners.amin(1), corners.amax(1) + 0.01], dim=1)


@pytest.mark.parametrize(("ours", "torchvisions"), PAIRS)
def test_values_and_gradients_are_torchvisions(
    ours: Callable[[Tensor, Tensor], Tensor], torchvisions: Callable[[Tensor, Tensor], Tensor]
) -> None:
    target = random_boxes(500, seed=1)
    pred, reference = (random_boxes(500, seed=2).requires_grad_() for _ in range(2))
    loss, expected = ours(pred, target), torchvisions(reference, target)
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)
    loss.sum().backward()
    expected.sum().backward()
    assert pred.grad is not None
    torch.testing.assert_close(pred.grad, reference.grad, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("loss", [giou_loss, ciou_loss])
def test_a_box_without_area_has_a_finite_gradient(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    pred = torch.tensor([[0.5, 0.5, 0.5, 0.5], [0.0, 0.2, 1.0, 0.2]], requires_grad=True)
    loss(pred, LEFT).sum().backward()
    assert pred.grad is not None
    assert pred.grad.isfinite().all()


@pytest.mark.parametrize("iou_loss", ["giou", "ciou"])
@pytest.mark.parametrize("box_loss", ["l1", "smooth_l1"])
def test_equal_boxes_have_no_loss(box_loss: BoxLoss, iou_loss: IouLoss) -> None:
    assert box_losses(LEFT, LEFT, box_loss=box_loss, iou_loss=iou_loss, weight=5).item() == pytest.approx(0, abs=1e-5)


def test_l1_and_giou_of_two_halves() -> None:
    # L1: (0.5 + 0 + 0.5 + 0) / 4 = 0.25. GIoU: IoU 0, hull full: 0 - (1 - 1) / 1 = 0, so its loss is 1.
    loss = box_losses(LEFT, RIGHT, box_loss="l1", iou_loss="giou", weight=5)
    assert loss.item() == pytest.approx(5 * 0.25 + 1, abs=1e-6)


def test_smooth_l1_of_two_halves() -> None:
    # Beyond beta = 0.05 each coordinate counts |d| - beta / 2: (0.475 + 0 + 0.475 + 0) / 4.
    loss = box_losses(LEFT, RIGHT, box_loss="smooth_l1", iou_loss="giou", weight=1)
    assert loss.item() == pytest.approx(0.2375 + 1, abs=1e-6)


def test_a_touching_pair_still_pulls_the_boxes_together() -> None:
    pred = LEFT.clone().requires_grad_()
    giou_loss(pred, RIGHT).sum().backward()
    assert pred.grad is not None
    assert pred.grad[0, 2] < 0  # moving xmax to the right lowers the loss


def test_the_coverage_of_cells_is_the_fraction_of_each_that_lies_in_the_box() -> None:
    # Columns of a third: the box covers half of the first and all of the second; rows of a half: a quarter, and all.
    covered = coverage(torch.tensor([[1 / 6, 3 / 8, 2 / 3, 1.0]]), 2, 3)
    torch.testing.assert_close(covered, torch.tensor([[[0.125, 0.25, 0.0], [0.5, 1.0, 0.0]]]))


def test_the_loss_is_of_the_box_of_the_cells_and_of_which_are_inside() -> None:
    """Two cells; the true box is the left one. The left cell has it right, the right one isn't asked."""
    cells = torch.stack([LEFT, RIGHT], dim=1)[:, None]  # [1, 1, 2, 4]
    inside = torch.zeros(1, 1, 2)  # probability 1/2: binary cross-entropy is ln 2 in each cell
    loss = lambda pred: localization_loss(pred, LEFT, box_loss="l1", iou_loss="giou", box_loss_weight=5)  # noqa: E731
    log_2 = torch.log(torch.tensor(2.0)).item()
    assert loss(CellBoxes(LEFT, cells, inside)).item() == pytest.approx(log_2, abs=1e-5)
    assert loss(CellBoxes(RIGHT, cells, inside)).item() == pytest.approx(log_2 + 2.25, abs=1e-5)
    assert loss(CellBoxes(LEFT, cells.flip(2), inside)).item() == pytest.approx(log_2 + 2.25, abs=1e-5)


def test_a_true_box_smaller_than_a_cell_has_a_finite_loss() -> None:
    target = torch.tensor([[0.5, 0.5, 0.5001, 0.5001]])
    pred = CellBoxes(LEFT, LEFT.expand(1, 8, 8, 4), torch.zeros(1, 8, 8))
    assert localization_loss(pred, target, box_loss="l1", iou_loss="ciou", box_loss_weight=5).isfinite()
