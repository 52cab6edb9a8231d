"""AdamW, and its learning-rate schedule: linear warm-up, then a cosine."""

import math
from collections.abc import Callable

import torch

from localizer.model.localizer import Localizer


def adamw(
    model: Localizer, *, lr: float, backbone_lr: float, weight_decay: float, capturable: bool = False
) -> torch.optim.AdamW:
    """Return AdamW over head and backbone; a backbone of rate 0 is frozen: its weights get no gradient.

    lr: the head's learning rate; backbone_lr: the backbone's, as a factor of it. Weight decay spares what has one
    dimension: biases and BatchNorm. capturable: for a CUDA graph, where rates are tensors: as numbers they would be
    those of the capture for ever. It is ignored on a CPU.
    """
    head = list(model.backbone.fc.parameters())
    body = [weight for layer in model.backbone.body() for weight in layer.parameters()]
    for weight in body:
        weight.requires_grad_(backbone_lr > 0)
    capturable = capturable and head[0].is_cuda
    groups = [
        {
            "params": [weight for weight in weights if (weight.ndim > 1) == decayed],
            "lr": torch.tensor(rate, device=head[0].device) if capturable else rate,
            "weight_decay": decay,
        }
        for weights, rate in ((head, lr), (body, backbone_lr * lr))
        for decayed, decay in ((True, weight_decay), (False, 0.0))
        if rate > 0
    ]
    return torch.optim.AdamW(groups, fused=True, capturable=capturable)


def warmup_cosine(warmup: int, *, steps: int) -> Callable[[int], float]:
    """Return the schedule: a step's factor of the learning rate, linear up to 1 in `warmup` steps, then half a cosine.

    It reaches 0 after `steps` steps.
    """

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))

    return factor
