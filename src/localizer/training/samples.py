"""Images and boxes in memory: the splits that training reads, decoded once and held where they fit."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from localizer import predictor
from localizer.boxes import to_pixels
from localizer.calibration import Calibration, calibrate
from localizer.device import fits_on_gpu
from localizer.images.decoding import Pixels
from localizer.images.pixel_cache import load_pixels, release_pages
from localizer.model.localizer import Localizer
from localizer.tables import EDGES, read_table, true_boxes
from localizer.training.distributed import ALONE, Ranks

Splits = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]  # train, validation, calibration

FAST_STEPS = 2  # of a fast run
NUMBERS = ["width", "height", *EDGES]
COLUMNS = ["image", "path", "sha256", "label", "split", *NUMBERS]  # of tables/split.csv


@dataclass(frozen=True)
class Samples:
    """Images, uint8 [N, 3, S, S], and their boxes, float [N, 4] xyxy in [0, 1]; `names` are for messages.

    The boxes are on the model's device. The pixels may be in CPU memory, or in a memory-mapped file, `mapped`.
    """

    pixels: Tensor
    boxes: Tensor
    names: Sequence[str] = ()
    mapped: Pixels | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, rows: Tensor) -> Tensor:
        """Return a copy of the rows' pixels, on the device where they are; pages of a mapped file are released."""
        pixels = self.pixels[rows]
        self.release_pages()
        return pixels

    def batches(self, size: int, *, ranks: Ranks = ALONE) -> Iterator[Tensor]:
        """Yield the pixels of this rank's shard in order, on the model's device; a batch is valid until the next."""
        for pixels in ranks.shard(self.pixels).split(size):
            if len(pixels):
                yield pixels.to(self.boxes.device)
                self.release_pages()

    def release_pages(self) -> None:
        """Return the pages of a mapped file to the system."""
        if self.mapped is not None:
            release_pages(self.mapped)


def read_splits(path: Path, *, overfit: int, fast_batch: int) -> tuple[str, Splits]:
    """Return the labels in the split table, comma-separated, and its splits; see `select_splits`."""
    images = read_table(path, numbers=NUMBERS, only=COLUMNS)
    return ", ".join(sorted(set(images["label"]))), select_splits(images, overfit=overfit, fast_batch=fast_batch)


def select_splits(images: pd.DataFrame, *, overfit: int, fast_batch: int) -> Splits:
    """Return the rows for training, validation and calibration.

    overfit: if not 0, train and validate on the first `overfit` training images. fast_batch: if not 0, keep two
    batches of this size for training and one for each of the others.
    """
    train, validation, calibration = (
        images[images["split"] == split] for split in ("train", "validation", "calibration")
    )
    if overfit:
        train = validation = train[:overfit]
    if fast_batch:
        train = train[: FAST_STEPS * fast_batch]
        validation, calibration = validation[:fast_batch], calibration[:fast_batch]
    return train, validation, calibration


def load_samples(images: pd.DataFrame, image_size: int, device: torch.device, cache: Path) -> Samples:
    """Return the images' pixels, decoded into `cache` once, and boxes; on a GPU if they fit there."""
    mapped = load_pixels(images["path"].array, images["sha256"].array, image_size, folder=cache)
    pixels, names = predictor.to_tensor(mapped), images["image"].array
    boxes = torch.from_numpy(true_boxes(images)).float().to(device)
    if fits_on_gpu(pixels, device):
        return Samples(pixels.to(device), boxes, names)
    return Samples(pixels, boxes, names, mapped)


def calibrate_model(model: Localizer, samples: Samples, table: pd.DataFrame, *, batch_size: int) -> Calibration:
    """Fit the calibration of a model on the calibration split, `samples` and its `table`."""
    batches = [predictor.predict_with_flip(model, pixels) for pixels in samples.batches(batch_size)]
    predictions = predictor.concatenate(batches)
    pred_px = to_pixels(predictions.boxes, table["width"].to_numpy(), table["height"].to_numpy())
    return calibrate(pred_px, table[EDGES].to_numpy(dtype=float), predictions.agreement)
