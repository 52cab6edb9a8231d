"""What evaluate reads besides the model: the split, the epochs of the training, and validate's counts."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from localizer.boxes import Array
from localizer.files import file_sha256
from localizer.model.saving import ModelCard
from localizer.tables import EDGES, REBUILD, SPLITS, read_table, true_boxes

HELD_OUT = ("validation", "calibration", "test")  # splits that no weights were fitted to
NUMBERS = ["width", "height", *EDGES]
COLUMNS = ["image", "path", "sha256", "label", "file", "line", "cluster", "split", *NUMBERS]


class SplitTable(NamedTuple):
    """The rows of HELD_OUT, the training boxes [M, 4] xyxy in [0, 1], and the number of images of each split."""

    held_out: pd.DataFrame
    train: Array
    counts: dict[str, int]

    @property
    def test(self) -> pd.DataFrame:
        return self.held_out[self.held_out["split"] == "test"]

    @property
    def calibration_clusters(self) -> int:
        return int(self.held_out["cluster"][self.held_out["split"] == "calibration"].nunique())


def read_split(path: Path) -> SplitTable:
    """Return the columns and rows of split.csv that evaluate uses; ValueError names an image that is in no one split.

    The other columns aren't loaded: the table may have millions of rows.
    """
    images = read_table(path, numbers=NUMBERS, only=COLUMNS)
    repeated, unknown = images["image"].duplicated(), ~images["split"].isin(SPLITS)
    for wrong, problem in ((repeated, "is listed twice"), (unknown, f"is in none of the splits {', '.join(SPLITS)}")):
        if wrong.any():
            raise ValueError(f"{path}: {images['image'][wrong].iloc[0]} {problem}; {REBUILD}")
    train, counts = true_boxes(images[images["split"] == "train"]), images["split"].value_counts()
    held_out = images[images["split"].isin(HELD_OUT)].reset_index(drop=True)
    return SplitTable(held_out, train, {split: int(counts.get(split, 0)) for split in SPLITS})


def check_split(card: ModelCard, split: Path, *, weights: Path) -> None:
    """Raise ValueError if the model was trained with another split: it may have been fitted to test images."""
    if card.split_sha256 and card.split_sha256 != file_sha256(split):
        raise ValueError(
            f"{weights}: trained with another {split} than the present one, so the test images may be among its "
            "training images; run `dvc repro`, which trains with this split"
        )


def read_history(path: Path) -> pd.DataFrame:
    """Return the epochs of a training, with epoch, loss and val_iou as numbers."""
    return read_table(path, numbers=["epoch", "loss", "val_iou"])


def read_findings(path: Path) -> dict[str, int]:
    """Return validate's counts by name."""
    try:
        return TypeAdapter(dict[str, int]).validate_json(path.read_bytes())
    except ValidationError as error:
        raise ValueError(f"{path}: not validate's counts: {error.errors()[0]['msg']}; {REBUILD}") from None
