"""The loss of a batch of boxes: a distance of coordinates plus an overlap loss."""

from typing import Literal

from torch import Tensor, nn
from torchvision.ops import complete_box_iou_loss, generalized_box_iou_loss

Distance = Literal["l1", "smooth_l1"]
Overlap = Literal["giou", "ciou"]

SMOOTH_L1_BETA = 0.05  # in shares of the image: where smooth L1 turns from square to straight


def box_loss(pred: Tensor, target: Tensor, *, distance: Distance, overlap: Overlap, distance_weight: float) -> Tensor:
    """Return the mean loss, a scalar, of pred and target [N, 4] xyxy in [0, 1]."""
    if distance == "l1":
        coordinates = nn.functional.l1_loss(pred, target)
    else:
        coordinates = nn.functional.smooth_l1_loss(pred, target, beta=SMOOTH_L1_BETA)
    iou_loss = generalized_box_iou_loss if overlap == "giou" else complete_box_iou_loss
    return distance_weight * coordinates + iou_loss(pred, target, reduction="mean")
