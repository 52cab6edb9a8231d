"""What is told of the epochs of a training: a table, lines of text, and a picture."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor
from torchvision.utils import draw_bounding_boxes, make_grid

from localizer.boxes import Array
from localizer.device import describe, use_bf16
from localizer.model.localizer import Localizer
from localizer.predictor import predict_boxes
from localizer.tables import write_table
from localizer.training.distributed import Ranks
from localizer.training.loop import EpochRecord, Samples
from localizer.training.params import TrainParams
from localizer.training.session import TrainingSession

SHOWN, SIDE = 8, 192  # images, and pixels a side of each
TRUE, PREDICTED = "white", "red"
COLLAPSED = 0.1  # of the true boxes' spread: below it the model gives all images about the same box


def start_line(train: int, validation: int, params: TrainParams, device: torch.device, ranks: Ranks) -> str:
    """Return what is told before the first epoch: numbers of images, device, precision and processes."""
    where = f"{describe(device)}{', in bfloat16' if use_bf16(params.precision, device) else ''}"
    together = f", {ranks.world_size} processes" if ranks.group else ""
    return f"train: {train} images, {validation} for validation, on {where}{together}"


def write_history(history: Sequence[EpochRecord], path: Path) -> None:
    """Write the epochs as a table, without what differs each time."""
    write_table(pd.DataFrame(history).drop(columns=["images_per_s", "waited", "seconds"]).round(6), path)


def last_epoch(session: TrainingSession, epochs: int) -> str:
    """Return what is told of the last of so many epochs."""
    last = session.history[-1]
    told = f"epoch {last.epoch}/{epochs}: loss {last.loss:.3f}, validation IoU {last.val_iou:.3f}"
    left = timedelta(seconds=round((epochs - last.epoch) * last.seconds))
    return f"{told} (best {session.best.val_iou:.3f}), {last.images_per_s:.0f} images/s, {left} left"


def training_warnings(session: TrainingSession, epochs: int) -> Iterator[str]:
    """Yield what there is to warn of, or to say, at the end of a training of so many epochs."""
    last = session.history[-1]
    if last.epoch < epochs:
        yield f"no better since epoch {session.best.epoch}: stopped early"
    if last.spread < COLLAPSED:
        yield (
            f"WARNING: about the same box on every image ({last.spread:.0%} of the true boxes' spread): train longer, "
            "try another train.lr, or see with train.overfit: 8 whether it learns at all"
        )


def draw_boxes(model: Localizer, samples: Samples) -> Array:
    """Return RGB uint8 [H, W, 3]: the first few samples side by side, with true boxes white and predicted ones red."""
    pixels = samples.pixels[:SHOWN]
    pred = torch.from_numpy(predict_boxes(model, pixels.to(samples.boxes.device)))
    large = torch.nn.functional.interpolate(pixels.cpu(), (SIDE, SIDE))
    pairs = torch.stack([samples.boxes[:SHOWN].cpu().double(), pred], dim=1) * SIDE
    drawn = [_draw(image, pair) for image, pair in zip(large, pairs, strict=True)]
    return make_grid(drawn, nrow=SHOWN // 2).permute(1, 2, 0).numpy()


def _draw(image: Tensor, pair: Tensor) -> Tensor:
    corners = torch.cat([pair[:, :2], torch.maximum(pair[:, 2:], pair[:, :2] + 1)], dim=1)  # a box without area, too
    return draw_bounding_boxes(image, corners, colors=[TRUE, PREDICTED], width=2)
