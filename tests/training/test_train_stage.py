"""The stage train: what its debugging switches change, when it stops early, and what it says."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from training_toy import SMALL, squares

from localizer import config
from localizer.model.augmentation import Augmentation
from localizer.model.localizer import Localizer
from localizer.training.distributed import ALONE
from localizer.training.loop import EpochRecord
from localizer.training.params import TrainParams
from localizer.training.progress import SIDE_PX, draw_predictions
from localizer.training.samples import select_splits
from localizer.training.session import start_session
from stages.train import run_epochs

CPU = torch.device("cpu")
PARAMS = config.load("train", TrainParams, path=Path(__file__).parents[2] / "params.yaml").model_copy(
    update={"depth": 18, "image_size": 32, "batch_size": 4, "epochs": 6, "show_every": 2}
)


class Notes:
    """Stands in for the stage's run: it only remembers."""

    def __init__(self) -> None:
        self.metrics: list[tuple[int, dict[str, Any]]] = []
        self.images: list[int] = []

    def log_metrics(self, metrics: dict[str, Any], *, step: int) -> None:
        self.metrics.append((step, metrics))

    def log_image(self, pixels: np.ndarray, *, key: str, step: int) -> None:
        self.images.append(step)


def table(train: int, validation: int) -> pd.DataFrame:
    return pd.DataFrame({"image": range(train + validation), "split": ["train"] * train + ["validation"] * validation})


def told(*scores: float, spread: float = 1.0) -> Iterator[EpochRecord]:
    return (
        EpochRecord(number, 0.001, 1.0, score, spread, 10.0, 0.0, 1.0) for number, score in enumerate(scores, start=1)
    )


def gone(params: TrainParams, epochs: Iterator[EpochRecord]) -> tuple[Notes, pd.DataFrame]:
    """Go through the epochs; return what was logged, and the history's file."""
    session = start_session(params, CPU, images=8, checkpoints=None, ranks=ALONE)
    notes = Notes()
    run_epochs(session, epochs, params, squares(3), run=notes)  # type: ignore[arg-type]
    return notes, pd.read_csv("reports/train/history.csv")


@pytest.mark.parametrize(("images", "epochs"), [(400, 6), (40, 6), (39, 7), (8, 30), (3, 60)])
def test_a_small_set_gets_more_epochs(images: int, epochs: int) -> None:
    params = PARAMS.model_copy(update={"batch_size": 4, "epochs": 6, "min_steps": 60})
    assert params.for_images(images).epochs == epochs


def test_overfit_trains_on_and_validates_with_the_same_few_images_as_they_are() -> None:
    params = PARAMS.model_copy(update={"overfit": 3}).for_debugging()
    train, validation, _ = select_splits(table(10, 5), overfit=params.overfit, fast_batch=0)
    assert list(train["image"]) == list(validation["image"]) == [0, 1, 2]
    assert params.train_config(CPU).augmentation == Augmentation()
    assert params.batch_size == 3
    assert PARAMS.train_config(CPU).augmentation != Augmentation()  # the control


def test_a_fast_run_is_one_epoch_of_two_steps() -> None:
    sides = select_splits(table(100, 50), overfit=0, fast_batch=4)
    assert [len(side) for side in sides[:2]] == [8, 4]
    assert PARAMS.model_copy(update={"fast_run": True}).for_debugging().epochs == 1
    assert [len(side) for side in select_splits(table(100, 50), overfit=0, fast_batch=0)[:2]] == [100, 50]


def test_it_stops_after_so_many_epochs_without_a_better_one(capsys: pytest.CaptureFixture[str]) -> None:
    notes, history = gone(PARAMS.model_copy(update={"patience": 2}), told(0.2, 0.5, 0.4, 0.3, 0.6, 0.7))
    assert list(history["epoch"]) == [1, 2, 3, 4]
    assert [step for step, _ in notes.metrics] == [1, 2, 3, 4]
    assert "no better since epoch 2: stopped early" in capsys.readouterr().out


def test_without_patience_it_goes_to_the_end() -> None:
    _, history = gone(PARAMS, told(0.2, 0.5, 0.4, 0.3, 0.3, 0.3))
    assert len(history) == 6


def test_boxes_that_are_all_the_same_are_warned_of_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    gone(PARAMS, told(*[0.2] * 6, spread=0.05))
    assert capsys.readouterr().out.count("WARNING: about the same box on every image (5% of") == 1
    gone(PARAMS, told(*[0.2] * 6, spread=0.5))
    assert "WARNING" not in capsys.readouterr().out


def test_a_model_that_stopped_early_is_warned_of_too(capsys: pytest.CaptureFixture[str]) -> None:
    gone(PARAMS.model_copy(update={"patience": 1}), told(0.2, 0.1, 0.1, spread=0.05))
    assert "WARNING: about the same box" in capsys.readouterr().out


def test_a_training_that_is_over_makes_no_further_epoch_when_it_is_started_again() -> None:
    params = PARAMS.model_copy(update={"patience": 2})
    session = start_session(params, CPU, images=8, checkpoints=None, ranks=ALONE)
    session.history = list(told(0.5, 0.4, 0.3))
    run_epochs(session, told(0.9), params, squares(3), run=Notes())  # type: ignore[arg-type]
    assert len(session.history) == 3


def test_validation_pictures_are_logged_every_few_epochs() -> None:
    assert gone(PARAMS, told(*[0.2] * 6))[0].images == [2, 4, 6]
    assert gone(PARAMS.model_copy(update={"show_every": 0}), told(*[0.2] * 6))[0].images == []


def test_the_history_holds_nothing_that_differs_each_time() -> None:
    _, history = gone(PARAMS, told(0.2, 0.5))
    assert list(history) == ["epoch", "lr", "loss", "val_iou", "spread"]


def test_a_picture_shows_the_true_boxes_white_and_the_predicted_ones_red() -> None:
    picture = draw_predictions(Localizer(SMALL), squares(3))  # as it starts, it answers the centred box
    assert picture.dtype == np.uint8
    assert picture.shape[1] > 3 * SIDE_PX
    first = picture[2 : 2 + SIDE_PX, 2 : 2 + SIDE_PX]  # make_grid leaves a border of 2
    assert tuple(first[SIDE_PX // 4, SIDE_PX // 2]) == (255, 0, 0)
    xmin, ymin, *_ = (squares(3).boxes[0] * SIDE_PX).round().int().tolist()
    assert tuple(first[ymin + 20, xmin]) == (255, 255, 255)
