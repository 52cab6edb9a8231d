"""Names that version 0.1.0 used, so that its tables, results, runs and models can still be read."""

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
