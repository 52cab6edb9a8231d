"""Checkpoints: whole or not there, of one training alone, and as good as not having stopped.

As a script: kills 120 processes while they save one; they are forked, so that torch is imported once.
"""

import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from unittest import mock

import pytest
import torch
from safetensors.torch import save_file
from training_toy import RECIPE, SMALL, squares, weights

from localizer.model.localizer import Localizer
from localizer.training.checkpoints import Checkpoints
from localizer.training.loop import EpochRecord, fit
from localizer.training.state import TrainConfig, TrainState

pytestmark = pytest.mark.slow

INPUTS = {"train.lr": "0.001", "tables/split.csv": "d1"}
FIRST, SECOND = (EpochRecord(number, 0.001, 1.5, 0.25, 1.0, 10.0, 0.0, 1.0) for number in (1, 2))
TENSORS = {"model.weight": torch.arange(6.0).reshape(2, 3), "adamw.0.step": torch.tensor(7.0)}


def checkpoints(folder: Path, **changed: str) -> Checkpoints:
    return Checkpoints(folder, INPUTS | changed)


def test_what_was_saved_is_found_by_the_next_start(tmp_path: Path) -> None:
    checkpoints(tmp_path).save([FIRST, SECOND], TENSORS)
    found = checkpoints(tmp_path).latest()
    assert found
    assert found.history == (FIRST, SECOND)
    assert {name: tensor.tolist() for name, tensor in found.tensors.items()} == {
        "model.weight": [[0, 1, 2], [3, 4, 5]],
        "adamw.0.step": 7,
    }


def test_only_the_newest_is_kept_and_strays_are_removed(tmp_path: Path) -> None:
    own = checkpoints(tmp_path)
    own.save([FIRST], TENSORS)
    (own.folder / "000002-x.safetensors.part").write_bytes(b"half")
    assert own.latest()
    assert not list(own.folder.glob("*.part"))
    own.save([FIRST, SECOND], TENSORS)
    assert [path.name[:6] for path in own.folder.iterdir()] == ["000002"]


@pytest.mark.parametrize("changed", [{"train.lr": "0.002"}, {"tables/split.csv": "d2"}, {"threads": "4"}])
def test_another_training_does_not_take_it_and_is_told_what_differs(tmp_path: Path, changed: dict[str, str]) -> None:
    checkpoints(tmp_path).save([FIRST], TENSORS)
    other = checkpoints(tmp_path, **changed)
    assert other.latest() is None
    assert other.why_no_match().endswith(f"belongs to another training, which differs in {next(iter(changed))}")


def test_without_any_checkpoint_there_is_nothing_to_tell(tmp_path: Path) -> None:
    assert checkpoints(tmp_path).latest() is None
    assert checkpoints(tmp_path).why_no_match() == ""


def test_a_flipped_bit_is_noticed_and_the_checkpoint_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    own = checkpoints(tmp_path)
    own.save([FIRST], TENSORS)
    (path,) = own.folder.iterdir()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    assert own.latest() is None
    assert "damaged (its SHA-256 differs)" in caplog.text


def test_a_training_at_its_end_leaves_none(tmp_path: Path) -> None:
    own = checkpoints(tmp_path)
    own.save([FIRST], TENSORS)
    own.remove()
    assert own.latest() is None
    own.remove()


def test_of_other_trainings_the_last_three_are_kept(tmp_path: Path) -> None:
    for number in range(5):
        other = checkpoints(tmp_path, seed=str(number))
        other.save([FIRST], TENSORS)
        os.utime(other.folder, (number, number))
    found = [checkpoints(tmp_path, seed=str(number)).latest() is not None for number in range(5)]
    assert found == [False, True, True, True, True]


def trained(config: TrainConfig, *, stops: tuple[int, ...], folder: Path) -> torch.Tensor:
    """Return the weights that count after several starts, each of which ends after an epoch of `stops`."""
    for stop in (*stops, config.epochs):
        torch.manual_seed(config.seed)
        model = Localizer(SMALL).to(memory_format=torch.channels_last)
        state = TrainState(model, config, images=9)
        found = checkpoints(folder).latest()
        history = list(found.history) if found else []
        if found:
            state.restore(found.tensors, epoch=len(history))
        for epoch in fit(state, squares(9), squares(4, seed=9), config=config):
            history.append(epoch)
            checkpoints(folder).save(history, state.tensors())
            if epoch.epoch == stop:
                break
    return weights(state.eval_model)


@pytest.mark.parametrize("changed", [{}, {"ema_decay": 0.9}, {"clip": 0.5, "backbone_lr": 0.1}, {"backbone_lr": 0.0}])
def test_a_training_that_was_stopped_after_any_epoch_ends_with_the_same_bits(
    tmp_path: Path, changed: dict[str, float]
) -> None:
    config = replace(RECIPE, epochs=3, **changed)  # type: ignore[arg-type]
    whole = trained(config, stops=(), folder=tmp_path / "whole")
    for stops in ((1,), (2,), (1, 2)):
        assert torch.equal(trained(config, stops=stops, folder=tmp_path / str(stops)), whole)
    other = trained(replace(config, seed=1), stops=(1,), folder=tmp_path / "other")
    assert not torch.equal(other, whole)


@pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")
def test_a_state_is_restored_on_the_device_where_its_model_is() -> None:
    on_cpu = TrainState(Localizer(SMALL), RECIPE, images=8)
    on_cpu.step(on_cpu.forward(torch.rand(4, 3, 32, 32)).boxes.sum())
    elsewhere = TrainState(Localizer(SMALL).to("meta"), RECIPE, images=8)
    elsewhere.restore(on_cpu.tensors(), epoch=1)
    tensors = [tensor for state in elsewhere.optimizer.state.values() for tensor in state.values()]
    assert {tensor.device.type for tensor in tensors} == {"meta"}


MOMENTS = ("open", "half", "fsync", "replace", "folder", "prune")
KILLS = 20  # at each moment
FORK = multiprocessing.get_context("fork")


def saved(folder: Path, epochs: int, *, size: int) -> Path:
    """Save a checkpoint of so many epochs, with `size` numbers that are the epochs; return its folder."""
    own = Checkpoints(folder, {"a": "1"})
    own.save([replace(FIRST, epoch=number + 1) for number in range(epochs)], {"w": torch.full((size,), float(epochs))})
    return own.folder


def killed_there(folder: Path, moment: str, number: int, there: Connection) -> None:
    """Save a checkpoint, and at the moment of saving another say so and wait for the kill."""
    size, epochs = 10 ** (number % 5 + 1), number % 4 + 1
    saved(folder, epochs, size=size)

    def wait(*_: object, **__: object) -> None:
        there.send(epochs)
        time.sleep(60)

    def half(tensors: dict[str, torch.Tensor], path: Path, *, metadata: dict[str, str]) -> None:
        # The library writes beside what it is given, under a name of its own.
        at = path if number % 2 else path.with_name(".tmp1a2b3c")
        save_file(tensors, at, metadata=metadata)
        os.truncate(at, at.stat().st_size * number // KILLS)
        wait()

    def prune(path: Path) -> None:
        if path.suffix == ".safetensors":
            if number % 2:
                unlink(path)
            wait()

    opened, unlink = os.open, Path.unlink
    name, stop = {
        "open": ("pathlib.Path.open", wait),
        "half": ("localizer.training.checkpoints.save_file", half),
        "fsync": ("localizer.files.os.fsync", wait),
        "replace": ("pathlib.Path.replace", wait),
        "folder": ("localizer.files.os.open", lambda path, *rest: wait() if path.is_dir() else opened(path, *rest)),
        "prune": ("pathlib.Path.unlink", prune),
    }[moment]
    with mock.patch(name, stop):
        saved(folder, epochs + 1, size=size)


def kill(folder: Path, moment: str, number: int) -> dict[str, object]:
    """Kill a process while it saves; return how many epochs are found then, and the files after the next save."""
    ours, theirs = FORK.Pipe(duplex=False)
    process = FORK.Process(target=killed_there, args=(folder, moment, number, theirs))
    process.start()
    theirs.close()
    epochs = ours.recv()
    process.kill()
    process.join()
    found = Checkpoints(folder, {"a": "1"}).latest()
    whole = found is not None and bool(found.tensors["w"].eq(len(found.history)).all())
    left = [path.name[:6] for path in saved(folder, 9, size=1).iterdir()]
    return {"moment": moment, "before": epochs, "found": len(found.history) if found and whole else None, "left": left}


def test_120_kills_while_a_checkpoint_is_written_each_leave_the_old_or_the_new_one(tmp_path: Path) -> None:
    one_thread = {"OMP_NUM_THREADS": "1"}  # a forked child waits for ever for the threads that it hasn't got
    done = subprocess.run(
        [sys.executable, __file__, str(tmp_path)],
        env=os.environ | one_thread | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    kills = [json.loads(line) for line in done.stdout.splitlines()]
    assert Counter(one["moment"] for one in kills) == dict.fromkeys(MOMENTS, KILLS)
    for one in kills:
        assert one["found"] == one["before"] + (one["moment"] in ("folder", "prune")), one
        assert one["left"] == ["000009"], one


def test_the_folder_without_room_keeps_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = checkpoints(tmp_path)
    own.save([FIRST], TENSORS)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("localizer.files.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        own.save([FIRST, SECOND], TENSORS)
    monkeypatch.undo()
    found = own.latest()
    assert found
    assert found.history == (FIRST,)


if __name__ == "__main__":
    for moment in MOMENTS:
        for number in range(KILLS):
            print(json.dumps(kill(Path(sys.argv[1], moment, str(number)), moment, number)), flush=True)
