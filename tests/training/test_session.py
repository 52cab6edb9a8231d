"""The way to the best weights: what is kept after each epoch, and when it is written."""

import errno
from collections.abc import Sequence
from pathlib import Path
from threading import Event

import pytest
import torch
from training_toy import RECIPE, SMALL, squares, weights

from localizer.model.localizer import Localizer
from localizer.training import session as module
from localizer.training.checkpoints import Checkpoints
from localizer.training.loop import EpochRecord, fit
from localizer.training.session import TrainingSession
from localizer.training.state import TrainState


def course(folder: Path) -> TrainingSession:
    torch.manual_seed(0)
    return TrainingSession(TrainState(Localizer(SMALL), RECIPE, images=8), Checkpoints(folder, {"a": "1"}))


def epoch(number: int, *, val_iou: float) -> EpochRecord:
    return EpochRecord(number, 0.001, 1.5, val_iou, 1.0, 10.0, 0.0, 1.0)


def interrupt(own: TrainingSession) -> None:
    with pytest.raises(KeyboardInterrupt), own.save_on_exit():
        raise KeyboardInterrupt


def no_room(*_: object) -> None:
    raise OSError(errno.ENOSPC, "no space left", "checkpoint")


def train(own: TrainingSession) -> TrainingSession:
    for record in fit(own.state, squares(8), squares(4, seed=9), config=RECIPE):
        own.add(record)
    return own


def test_the_model_at_the_end_is_that_of_the_best_epoch(tmp_path: Path) -> None:
    own = course(tmp_path)
    kept = []
    for number, val_iou in enumerate([0.2, 0.5, 0.4], start=1):
        torch.nn.init.constant_(own.state.model.get_parameter("backbone.fc.cell.bias"), number)
        own.add(epoch(number, val_iou=val_iou))
        kept.append(weights(own.state.model))
    assert own.best.epoch == 2
    assert torch.equal(weights(own.best_model()), kept[1])
    assert not torch.equal(kept[1], kept[2])


def test_of_equal_epochs_the_last_is_the_best(tmp_path: Path) -> None:
    own = course(tmp_path)
    for number in (1, 2):
        own.add(epoch(number, val_iou=0.5))
    assert own.best.epoch == 2


def test_a_checkpoint_that_follows_too_soon_is_put_off_until_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([0, 0, 2, 2 + 2 * module.PAUSE - 1])  # the first takes 2 seconds
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    own = course(tmp_path)
    for number in (1, 2):
        own.add(epoch(number, val_iou=0.5))
    assert own.checkpoints
    assert [len(found.history) for found in [own.checkpoints.latest()] if found] == [1]
    monkeypatch.undo()
    interrupt(own)
    assert [len(found.history) for found in [own.checkpoints.latest()] if found] == [2]


def test_what_was_put_off_is_the_epochs_own_state_and_not_a_later_one(tmp_path: Path) -> None:
    own = train(course(tmp_path))
    last = weights(own.state.model)
    torch.nn.init.zeros_(own.state.model.backbone.conv1.weight)  # as if the next epoch had begun
    interrupt(own)
    again = course(tmp_path)
    found = again.resume()
    assert found
    assert len(found.history) == 2
    assert torch.equal(weights(again.state.model), last)
    assert again.best == own.best


def test_an_interrupt_while_an_epoch_is_copied_keeps_no_mixture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, copy_tensors = course(tmp_path), module.copy_tensors
    own.add(epoch(1, val_iou=0.5))
    own.add(epoch(2, val_iou=0.5))  # copied, not written

    def interrupted(tensors: dict[str, torch.Tensor], *, into: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        copy_tensors(dict(list(tensors.items())[:9]), into=into)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "copy_tensors", interrupted)
    torch.nn.init.zeros_(own.state.model.backbone.conv1.weight)
    with pytest.raises(KeyboardInterrupt):
        own.add(epoch(3, val_iou=0.4))
    interrupt(own)
    assert own.checkpoints
    found = own.checkpoints.latest()
    assert found
    assert len(found.history) == 1
    assert found.tensors["model.backbone.conv1.weight"].any()


def test_a_checkpoint_that_is_being_written_stays_that_of_its_epoch_while_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, go_on = course(tmp_path), Event()
    save = Checkpoints.save

    def slow(self: Checkpoints, history: Sequence[EpochRecord], tensors: dict[str, torch.Tensor]) -> None:
        assert go_on.wait(60)
        save(self, history, tensors)

    monkeypatch.setattr(Checkpoints, "save", slow)
    own.add(epoch(1, val_iou=0.5))
    before = weights(own.state.model)
    torch.nn.init.zeros_(own.state.model.backbone.conv1.weight)
    assert own.checkpoints
    assert not own.checkpoints.latest()
    go_on.set()
    own.add(epoch(2, val_iou=0.5))  # waits for the first to be written
    again = course(tmp_path)
    assert again.resume()
    assert len(again.history) == 1
    assert torch.equal(weights(again.state.model), before)


def test_a_checkpoint_that_could_not_be_written_is_told_after_the_next_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Checkpoints, "save", no_room)
    own = course(tmp_path)
    own.add(epoch(1, val_iou=0.5))
    with pytest.raises(OSError, match="no space left"):
        own.add(epoch(2, val_iou=0.5))


def test_a_checkpoint_that_could_not_be_written_hides_no_error_and_spoils_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Checkpoints, "save", no_room)
    own = course(tmp_path)
    own.add(epoch(1, val_iou=0.5))
    interrupt(own)
    assert "no checkpoint of the last epoch: [Errno 28] no space left" in caplog.text
    own.best_model()
    own.remove_checkpoints()


def test_without_checkpoints_nothing_is_written() -> None:
    torch.manual_seed(0)
    own = train(TrainingSession(TrainState(Localizer(SMALL), RECIPE, images=8), None))
    interrupt(own)
    assert own.resume() is None
    assert not list(Path().iterdir())
