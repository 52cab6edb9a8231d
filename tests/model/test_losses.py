"""The loss by hand-worked numbers and against torchvision."""

import pytest
import torch
from torchvision.ops import complete_box_iou_loss

from localizer.model.losses import Distance, Overlap, box_loss

LEFT = torch.tensor([[0.0, 0.0, 0.5, 1.0]])
RIGHT = torch.tensor([[0.5, 0.0, 1.0, 1.0]])


@pytest.mark.parametrize("overlap", ["giou", "ciou"])
@pytest.mark.parametrize("distance", ["l1", "smooth_l1"])
def test_equal_boxes_have_no_loss(distance: Distance, overlap: Overlap) -> None:
    loss = box_loss(LEFT, LEFT, distance=distance, overlap=overlap, distance_weight=5)
    assert loss.item() == pytest.approx(0, abs=1e-6)


def test_l1_and_giou_of_two_halves() -> None:
    # L1: (0.5 + 0 + 0.5 + 0) / 4 = 0.25. GIoU: IoU 0, hull full: 0 - (1 - 1) / 1 = 0, so its loss is 1.
    loss = box_loss(LEFT, RIGHT, distance="l1", overlap="giou", distance_weight=5)
    assert loss.item() == pytest.approx(5 * 0.25 + 1, abs=1e-6)


def test_smooth_l1_of_two_halves() -> None:
    # Beyond beta = 0.05 each coordinate counts |d| - beta / 2: (0.475 + 0 + 0.475 + 0) / 4.
    loss = box_loss(LEFT, RIGHT, distance="smooth_l1", overlap="giou", distance_weight=1)
    assert loss.item() == pytest.approx(0.2375 + 1, abs=1e-6)


def test_ciou_is_torchvisions_mean() -> None:
    pred, target = torch.cat([LEFT, LEFT]), torch.cat([LEFT, RIGHT])
    loss = box_loss(pred, target, distance="l1", overlap="ciou", distance_weight=0)
    assert loss.item() == pytest.approx(complete_box_iou_loss(pred, target, reduction="mean").item())


def test_a_touching_pair_still_pulls_the_boxes_together() -> None:
    pred = LEFT.clone().requires_grad_()
    box_loss(pred, RIGHT, distance="l1", overlap="giou", distance_weight=0).backward()
    assert pred.grad is not None
    assert pred.grad[0, 2] < 0  # moving xmax to the right lowers the loss
