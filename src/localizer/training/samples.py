"""The sides of the split that training works with: to learn from, to choose by, and to calibrate with."""

from pathlib import Path

import pandas as pd
import torch

from localizer import predictor
from localizer.boxes import as_pixels
from localizer.calibration import Calibration, calibrate
from localizer.device import fits
from localizer.images.pixel_cache import load_pixels
from localizer.model.localizer import Localizer
from localizer.tables import EDGES, read_table, true_boxes
from localizer.training.loop import Samples

Splits = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]  # to learn from, to choose by, to calibrate with

FAST_STEPS = 2
NUMBERS = ["width", "height", *EDGES]  # of the columns of the split's table
COLUMNS = ["image", "path", "sha256", "label", "split", *NUMBERS]  # those that training reads


def read_splits(path: Path, *, overfit: int, fast_batch: int) -> tuple[str, Splits]:
    """Return the labels in the split's table, in a line, and the rows of the sides: see `select_splits`."""
    images = read_table(path, numbers=NUMBERS, only=COLUMNS)
    return ", ".join(sorted(set(images["label"]))), select_splits(images, overfit=overfit, fast_batch=fast_batch)


def select_splits(images: pd.DataFrame, *, overfit: int, fast_batch: int) -> Splits:
    """Return the rows to train on, validate and calibrate with.

    overfit: so many images, the same for the first two, unless it is 0; fast_batch: take two batches of this size to
    train on and one for each of the others, unless it is 0.
    """
    train, validation, calibration = (
        images[images["split"] == side] for side in ("train", "validation", "calibration")
    )
    if overfit:
        train = validation = train[:overfit]
    if fast_batch:
        train = train[: FAST_STEPS * fast_batch]
        validation, calibration = validation[:fast_batch], calibration[:fast_batch]
    return train, validation, calibration


def load_samples(images: pd.DataFrame, image_size: int, device: torch.device, cache: Path) -> Samples:
    """Return the images' pixels and boxes: decoded once and for all, held on the device where they fit."""
    mapped = load_pixels(images["path"].array, images["sha256"].array, image_size, folder=cache)
    pixels, names = predictor.to_tensor(mapped), images["image"].array
    boxes = torch.from_numpy(true_boxes(images)).float().to(device)
    if fits(pixels, device):
        return Samples(pixels.to(device), boxes, names)
    return Samples(pixels, boxes, names, mapped)


def calibrate_model(model: Localizer, images: Samples, table: pd.DataFrame, *, batch_size: int) -> Calibration:
    """Return what the model's errors on the calibration side, which has chosen nothing about it, promise."""
    seen = predictor.concatenate([predictor.predict_with_flip(model, pixels) for pixels in images.in_order(batch_size)])
    pred_px = as_pixels(seen.boxes, table["width"].to_numpy(), table["height"].to_numpy())
    return calibrate(pred_px, table[EDGES].to_numpy(dtype=float), seen.agreement)
