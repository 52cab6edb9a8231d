"""The loss of a batch: of the predicted boxes, of every cell's box, and of which cells the box covers."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from localizer.model.head import CellBoxes

BoxLoss = Literal["l1", "smooth_l1"]
IouLoss = Literal["giou", "ciou"]

SMOOTH_L1_BETA = 0.05  # in [0, 1] coordinates: below it smooth L1 is quadratic, above it linear
EPSILON = 1e-7


def localization_loss(
    pred: CellBoxes, target: Tensor, *, box_loss: BoxLoss, iou_loss: IouLoss, box_loss_weight: float
) -> Tensor:
    """Return the mean loss, a scalar, for true boxes [N, 4] xyxy in [0, 1].

    It is the sum of three: the loss of the boxes; that of the cells' boxes, weighted by the fraction of each cell that
    the true box covers; and the binary cross-entropy between that fraction and its prediction.
    """
    loss = lambda boxes, true: box_losses(boxes, true, box_loss=box_loss, iou_loss=iou_loss, weight=box_loss_weight)  # noqa: E731
    covered = coverage(target, *pred.inside.shape[1:])
    weights = covered / covered.sum((1, 2), keepdim=True)
    cells = (weights * loss(pred.cells, target[:, None, None])).sum((1, 2))
    inside = nn.functional.binary_cross_entropy_with_logits(pred.inside, covered)
    return (loss(pred.boxes, target) + cells).mean() + inside


def box_losses(pred: Tensor, target: Tensor, *, box_loss: BoxLoss, iou_loss: IouLoss, weight: float) -> Tensor:
    """Return the losses [...] of boxes [..., 4] xyxy."""
    if box_loss == "l1":
        edges = (pred - target).abs().mean(-1)
    else:
        pred, target = torch.broadcast_tensors(pred, target)
        edges = nn.functional.smooth_l1_loss(pred, target, beta=SMOOTH_L1_BETA, reduction="none").mean(-1)
    return weight * edges + (giou_loss if iou_loss == "giou" else ciou_loss)(pred, target)


def giou_loss(pred: Tensor, target: Tensor) -> Tensor:
    """Return 1 - GIoU, [...], of boxes [..., 4] xyxy (Rezatofighi et al. 2019, arXiv:1902.09630)."""
    iou, union = _iou(pred, target)
    width, height = _hull(pred, target)
    hull = width * height
    return 1 - iou + (hull - union) / (hull + EPSILON)


def ciou_loss(pred: Tensor, target: Tensor) -> Tensor:
    """Return 1 - CIoU, [...], of boxes [..., 4] xyxy (Zheng et al. 2020, arXiv:1911.08287)."""
    iou, _ = _iou(pred, target)
    width, height = _hull(pred, target)
    apart = ((pred[..., :2] + pred[..., 2:] - target[..., :2] - target[..., 2:]) / 2).square().sum(-1)
    angles = [torch.atan((box[..., 2] - box[..., 0]) / (box[..., 3] - box[..., 1] + EPSILON)) for box in (pred, target)]
    shape = 4 / math.pi**2 * (angles[1] - angles[0]).square()
    with torch.no_grad():
        trade_off = shape / (1 - iou + shape + EPSILON)
    return 1 - iou + apart / (width.square() + height.square() + EPSILON) + trade_off * shape


def coverage(boxes: Tensor, height: int, width: int) -> Tensor:
    """Return the fraction [N, height, width] of each cell of the image that boxes [N, 4] xyxy in [0, 1] cover."""
    x = _covered(boxes[:, 0], boxes[:, 2], width)
    return _covered(boxes[:, 1], boxes[:, 3], height)[:, :, None] * x[:, None, :]


def _covered(start: Tensor, end: Tensor, cells: int) -> Tensor:
    """Return the fraction [N, cells] of each interval of [0, 1] that [start, end] covers."""
    edges = torch.arange(cells + 1, device=start.device) / cells
    overlap = torch.minimum(end[:, None], edges[1:]) - torch.maximum(start[:, None], edges[:-1])
    return overlap.clamp(min=0) * cells


def _iou(pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return IoU and area of the union, [...], of boxes [..., 4] xyxy."""
    sides = torch.minimum(pred[..., 2:], target[..., 2:]) - torch.maximum(pred[..., :2], target[..., :2])
    overlap = sides[..., 0].clamp(min=0) * sides[..., 1].clamp(min=0)
    union = _area(pred) + _area(target) - overlap
    return overlap / (union + EPSILON), union


def _hull(pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return width and height, [...], of the smallest box around both."""
    sides = torch.maximum(pred[..., 2:], target[..., 2:]) - torch.minimum(pred[..., :2], target[..., :2])
    return sides[..., 0], sides[..., 1]


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
