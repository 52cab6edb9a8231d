"""What a training reports: the history table, lines for the terminal, warnings, and a picture of predictions."""

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
from localizer.training.loop import EpochRecord
from localizer.training.params import TrainParams
from localizer.training.samples import Samples
from localizer.training.session import TrainingSession

IMAGES, SIDE_PX = 8, 192  # of the picture
TRUE_COLOR, PREDICTED_COLOR = "white", "red"
COLLAPSED = 0.1  # spread below which the model predicts about the same box for all images


def start_line(train: int, validation: int, params: TrainParams, device: torch.device, ranks: Ranks) -> str:
    """Return the line printed before the first epoch: numbers of images and epochs, device, precision, processes."""
    where = f"{describe(device)}{', in bfloat16' if use_bf16(params.precision, device) else ''}"
    processes = f", {ranks.world_size} processes" if ranks.group else ""
    return f"train: {train} images, {validation} for validation, {params.epochs} epochs, on {where}{processes}"


def write_history(history: Sequence[EpochRecord], path: Path) -> None:
    """Write the records as a table, without times, which differ between equal trainings."""
    write_table(pd.DataFrame(history).drop(columns=["images_per_s", "waited", "seconds"]).round(6), path)


def epoch_line(session: TrainingSession, epochs: int) -> str:
    """Return the line printed after the last of the session's epochs."""
    last = session.history[-1]
    metrics = f"epoch {last.epoch}/{epochs}: loss {last.loss:.3f}, validation IoU {last.val_iou:.3f}"
    left = timedelta(seconds=round((epochs - last.epoch) * last.seconds))
    return f"{metrics} (best {session.best.val_iou:.3f}), {last.images_per_s:.0f} images/s, {left} left"


def training_warnings(session: TrainingSession, epochs: int) -> Iterator[str]:
    """Yield the warnings and notes due at the end of a training of `epochs` epochs."""
    last = session.history[-1]
    if last.epoch < epochs:
        yield f"no better since epoch {session.best.epoch}: stopped early"
    if last.spread < COLLAPSED:
        yield (
            f"WARNING: about the same box on every image ({last.spread:.0%} of the true boxes' spread): train longer, "
            "try another train.lr, or check with train.overfit: 8 whether it learns at all"
        )


def draw_predictions(model: Localizer, samples: Samples) -> Array:
    """Return RGB uint8 [H, W, 3]: a grid of the first samples, with true boxes white and predicted ones red."""
    pixels = samples.pixels[:IMAGES]
    pred = torch.from_numpy(predict_boxes(model, pixels.to(samples.boxes.device)))
    large = torch.nn.functional.interpolate(pixels.cpu(), (SIDE_PX, SIDE_PX))
    pairs = torch.stack([samples.boxes[:IMAGES].cpu().double(), pred], dim=1) * SIDE_PX
    drawn = [_draw_pair(image, pair) for image, pair in zip(large, pairs, strict=True)]
    return make_grid(drawn, nrow=IMAGES // 2).permute(1, 2, 0).numpy()


def _draw_pair(image: Tensor, pair: Tensor) -> Tensor:
    corners = torch.cat([pair[:, :2], torch.maximum(pair[:, 2:], pair[:, :2] + 1)], dim=1)  # at least a pixel wide
    return draw_bounding_boxes(image, corners, colors=[TRUE_COLOR, PREDICTED_COLOR], width=2)
