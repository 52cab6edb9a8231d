"""Checkpoints: whole or not there, of one training alone, and as good as not having stopped."""

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_engine import RECIPE, squares, weights

from localizer.model.localizer import Localizer
from localizer.training.checkpoint import Checkpoints
from localizer.training.engine import Epoch, fit
from localizer.training.state import Recipe, State

INPUTS = {"train.lr": "0.001", "tables/split.csv": "d1"}
FIRST, SECOND = (Epoch(number, 0.001, 1.5, 0.25, 10.0) for number in (1, 2))
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
    assert other.why_none().endswith(f"is of another training; what differs: {next(iter(changed))}")


def test_without_any_checkpoint_there_is_nothing_to_tell(tmp_path: Path) -> None:
    assert checkpoints(tmp_path).latest() is None
    assert checkpoints(tmp_path).why_none() == ""


def test_a_flipped_bit_is_noticed_and_the_checkpoint_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    own = checkpoints(tmp_path)
    own.save([FIRST], TENSORS)
    (path,) = own.folder.iterdir()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    assert own.latest() is None
    assert "not as it was written" in caplog.text


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


def trained(recipe: Recipe, *, stops: tuple[int, ...], folder: Path) -> Localizer:
    """Return a model trained by several starts, each of which ends after an epoch of `stops`, the last at the end."""
    for stop in (*stops, recipe.epochs):
        torch.manual_seed(recipe.seed)
        model = Localizer(grid=1).to(memory_format=torch.channels_last)
        state = State(model, recipe, images=9)
        found = checkpoints(folder).latest()
        history = list(found.history) if found else []
        if found:
            state.restore(found.tensors, epoch=len(history))
        for epoch in fit(state, squares(9), squares(4, seed=9), recipe=recipe):
            history.append(epoch)
            checkpoints(folder).save(history, state.tensors())
            if epoch.epoch == stop:
                break
    return model


def test_a_training_that_was_stopped_after_any_epoch_ends_with_the_same_bits(tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=3)
    whole = weights(trained(recipe, stops=(), folder=tmp_path / "whole"))
    for stops in ((1,), (2,), (1, 2)):
        assert torch.equal(weights(trained(recipe, stops=stops, folder=tmp_path / str(stops))), whole)
    other = trained(replace(recipe, seed=1), stops=(1,), folder=tmp_path / "other")
    assert not torch.equal(weights(other), whole)


KILLED = """
import sys
from pathlib import Path
import torch
from localizer import files
from localizer.training import checkpoint
from localizer.training.engine import Epoch

folder, moment = Path(sys.argv[1]), sys.argv[2]

def wait(*_):
    print("there", flush=True)
    __import__("time").sleep(60)

own = checkpoint.Checkpoints(folder, {"a": "1"})
own.save([Epoch(1, 0.1, 1.0, 0.1, 1.0)], {"w": torch.ones(1000)})
if moment == "open":
    checkpoint.replace_file = wait
elif moment == "half":
    def half(path, content):
        with path.with_name(path.name + ".part").open("wb") as file:
            file.write(content[: len(content) // 2])
            file.flush()
            wait()
    checkpoint.replace_file = half
elif moment == "fsync":
    files.os.fsync = wait
elif moment == "replace":
    Path.replace = wait
elif moment == "folder":
    plain = files.os.open
    files.os.open = lambda path, flags, *mode: wait() if Path(path).is_dir() else plain(path, flags, *mode)
elif moment == "prune":
    Path.unlink = wait
own.save([Epoch(number, 0.1, 1.0, 0.1, 1.0) for number in (1, 2)], {"w": torch.full((1000,), 2.0)})
"""


@pytest.mark.parametrize("moment", ["open", "half", "fsync", "replace", "folder", "prune"])
def test_a_kill_while_a_checkpoint_is_written_leaves_the_old_or_the_new_one(tmp_path: Path, moment: str) -> None:
    script = tmp_path / "killed.py"
    script.write_text(textwrap.dedent(KILLED))
    process = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "kept"), moment],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1] / "src")},
    )
    assert process.stdout
    assert process.stdout.readline() == b"there\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    found = Checkpoints(tmp_path / "kept", {"a": "1"}).latest()
    assert found
    assert len(found.history) == (2 if moment in ("folder", "prune") else 1)
    assert found.tensors["w"].eq(len(found.history)).all()


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
