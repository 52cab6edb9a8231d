"""The loss by hand-worked numbers and against torchvision."""

import pytest
import torch
from torchvision.ops import complete_box_iou_loss

from localizer.model.losses import BoxLoss, IouLoss, localization_loss

LEFT = torch.tensor([[0.0, 0.0, 0.5, 1.0]])
RIGHT = torch.tensor([[0.5, 0.0, 1.0, 1.0]])


@pytest.mark.parametrize("iou_loss", ["giou", "ciou"])
@pytest.mark.parametrize("box_loss", ["l1", "smooth_l1"])
def test_equal_boxes_have_no_loss(box_loss: BoxLoss, iou_loss: IouLoss) -> None:
    loss = localization_loss(LEFT, LEFT, box_loss=box_loss, iou_loss=iou_loss, box_loss_weight=5)
    assert loss.item() == pytest.approx(0, abs=1e-6)


def test_l1_and_giou_of_two_halves() -> None:
    # L1: (0.5 + 0 + 0.5 + 0) / 4 = 0.25. GIoU: IoU 0, hull full: 0 - (1 - 1) / 1 = 0, so its loss is 1.
    loss = localization_loss(LEFT, RIGHT, box_loss="l1", iou_loss="giou", box_loss_weight=5)
    assert loss.item() == pytest.approx(5 * 0.25 + 1, abs=1e-6)


def test_smooth_l1_of_two_halves() -> None:
    # Beyond beta = 0.05 each coordinate counts |d| - beta / 2: (0.475 + 0 + 0.475 + 0) / 4.
    loss = localization_loss(LEFT, RIGHT, box_loss="smooth_l1", iou_loss="giou", box_loss_weight=1)
    assert loss.item() == pytest.approx(0.2375 + 1, abs=1e-6)


def test_ciou_is_torchvisions_mean() -> None:
    pred, target = torch.cat([LEFT, LEFT]), torch.cat([LEFT, RIGHT])
    loss = localization_loss(pred, target, box_loss="l1", iou_loss="ciou", box_loss_weight=0)
    assert loss.item() == pytest.approx(complete_box_iou_loss(pred, target, reduction="mean").item())


def test_a_touching_pair_still_pulls_the_boxes_together() -> None:
    pred = LEFT.clone().requires_grad_()
    localization_loss(pred, RIGHT, box_loss="l1", iou_loss="giou", box_loss_weight=0).backward()
    assert pred.grad is not None
    assert pred.grad[0, 2] < 0  # moving xmax to the right lowers the loss
