"""The sides of the split that training works with: to learn from, to choose by, and to calibrate with."""

from pathlib import Path

import pandas as pd
import torch

from localizer import predictor
from localizer.boxes import as_pixels
from localizer.calibration import Calibration, calibrate
from localizer.data.decoded import decoded
from localizer.data.tables import EDGES, true_boxes
from localizer.device import fits
from localizer.model.localizer import Localizer
from localizer.training.engine import Samples

FAST_STEPS = 2


def sides_of(images: pd.DataFrame, *, overfit: int, fast_batch: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return the rows to train on, validate and calibrate with.

    overfit: so many images, the same for the first two, unless it is 0; fast_batch: take two batches of this size to
    train on and one for each of the others, unless it is 0.
    """
    train, validation, calibration = (images[images["side"] == side] for side in ("train", "validation", "calibration"))
    if overfit:
        train = validation = train[:overfit]
    if fast_batch:
        train = train[: FAST_STEPS * fast_batch]
        validation, calibration = validation[:fast_batch], calibration[:fast_batch]
    return train, validation, calibration


def samples(images: pd.DataFrame, image_size: int, device: torch.device, cache: Path) -> Samples:
    """Return the images' pixels and boxes: decoded once and for all, held on the device where they fit."""
    mapped = decoded(images["path"].array, images["sha256"].array, image_size, folder=cache)
    pixels, names = predictor.to_tensor(mapped), [*images["image"]]
    boxes = torch.from_numpy(true_boxes(images)).float().to(device)
    if fits(pixels, device):
        return Samples(pixels.to(device), boxes, names)
    return Samples(pixels, boxes, names, mapped)


def errors_of(model: Localizer, images: Samples, table: pd.DataFrame, *, batch_size: int) -> Calibration:
    """Return what the model's errors on the calibration side, which has chosen nothing about it, promise."""
    parts = []
    for pixels in images.pixels.split(batch_size):
        parts += [predictor.look(model, pixels.to(images.boxes.device))] if len(pixels) else []
        images.let_go()
    seen = predictor.together(parts)
    pred_px = as_pixels(seen.boxes, table["width"].to_numpy(), table["height"].to_numpy())
    return calibrate(pred_px, table[EDGES].to_numpy(dtype=float), seen.agreement)
