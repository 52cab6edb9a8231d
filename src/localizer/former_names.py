"""Names that version 0.1.0 used, so that its tables, results, runs and models can still be read."""

from collections.abc import Mapping
from typing import Any

COLUMNS = {"side": "split", "wanted": "expected"}
PARAMS = {
    "train.average": "train.ema_decay",
    "train.distance": "train.box_loss",
    "train.distance_weight": "train.box_loss_weight",
    "train.overlap": "train.iou_loss",
    "train.flip": "train.augment.horizontal_flip",
    "train.zoom": "train.augment.scale",
    "train.shift": "train.augment.translate",
    "train.turn": "train.augment.rotation",
    "train.colour": "train.augment.color_jitter",
}


def current_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return params, by dotted name, under their present names."""
    return {PARAMS.get(name, name): value for name, value in params.items()}
