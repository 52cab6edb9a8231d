"""What evaluate reads beside the model: the split, and what validate counted."""

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
READ = ["image", "path", "sha256", "label", "file", "line", "cluster", "split", *NUMBERS]


class Split(NamedTuple):
    """The rows of HELD_OUT, the boxes [M, 4] xyxy in [0, 1] of the training side, and the images of each side."""

    held_out: pd.DataFrame
    train: Array
    sides: dict[str, int]

    @property
    def test(self) -> pd.DataFrame:
        return self.held_out[self.held_out["split"] == "test"]

    @property
    def calibrated(self) -> int:
        """Return how many clusters the calibration side has."""
        return int(self.held_out["cluster"][self.held_out["split"] == "calibration"].nunique())


def read_split(path: Path) -> Split:
    """Return what is needed of the split, and not its other columns: it may have millions of rows."""
    images = read_table(path, numbers=NUMBERS, only=READ)
    twice, odd = images["image"].duplicated(), ~images["split"].isin(SPLITS)
    for wrong, what in ((twice, "is there twice"), (odd, f"is on none of the sides {', '.join(SPLITS)}")):
        if wrong.any():
            raise ValueError(f"{path}: {images['image'][wrong].iloc[0]} {what}; {REBUILD}")
    train, counts = true_boxes(images[images["split"] == "train"]), images["split"].value_counts()
    sides = {side: int(counts.get(side, 0)) for side in SPLITS}
    return Split(images[images["split"].isin(HELD_OUT)].reset_index(drop=True), train, sides)


def check_split(card: ModelCard, split: Path, *, weights: Path) -> None:
    """Raise ValueError where the model was fitted to the images of another split: it may have seen the test side."""
    if card.split_sha256 and card.split_sha256 != file_sha256(split):
        raise ValueError(
            f"{weights}: trained with another {split} than lies here, so it may have seen the test images; run "
            "`dvc repro`, which trains with this one"
        )


def read_findings(path: Path) -> dict[str, int]:
    """Return what validate counted."""
    try:
        return TypeAdapter(dict[str, int]).validate_json(path.read_bytes())
    except ValidationError as error:
        raise ValueError(f"{path}: not validate's counts: {error.errors()[0]['msg']}; {REBUILD}") from None
