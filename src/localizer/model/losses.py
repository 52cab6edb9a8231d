"""The loss of a batch of boxes: a coordinate loss plus an IoU loss."""

from typing import Literal

from torch import Tensor, nn
from torchvision.ops import complete_box_iou_loss, generalized_box_iou_loss

BoxLoss = Literal["l1", "smooth_l1"]
IouLoss = Literal["giou", "ciou"]

SMOOTH_L1_BETA = 0.05  # in [0, 1] coordinates: below it smooth L1 is quadratic, above it linear


def localization_loss(
    pred: Tensor, target: Tensor, *, box_loss: BoxLoss, iou_loss: IouLoss, box_loss_weight: float
) -> Tensor:
    """Return the mean loss, a scalar, of pred and target, both [N, 4] xyxy in [0, 1]."""
    if box_loss == "l1":
        coordinates = nn.functional.l1_loss(pred, target)
    else:
        coordinates = nn.functional.smooth_l1_loss(pred, target, beta=SMOOTH_L1_BETA)
    overlap = generalized_box_iou_loss if iou_loss == "giou" else complete_box_iou_loss
    return box_loss_weight * coordinates + overlap(pred, target, reduction="mean")
