"""Ranks: what two and three processes learn together is what one process learns from the same batches."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_engine import RECIPE, SMALL
from torch import Tensor

from localizer.model.localizer import Localizer
from localizer.training.ranks import ALONE, Ranks
from localizer.training.state import State

TOY = Path(__file__).with_name("ranks_toy.py")
SOURCES = TOY.parents[1] / "src"


def each(what: str, folder: Path, *, ranks: int) -> list[dict[str, Tensor]]:
    """Return what each rank left; without torchrun for one."""
    folder.mkdir()
    torchrun = ["-m", "torch.distributed.run", f"--nproc-per-node={ranks}"] if ranks > 1 else []
    env = os.environ | {"PYTHONPATH": str(SOURCES), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *torchrun, TOY, what, folder], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [load_file(folder / f"{rank}.safetensors") for rank in range(ranks) if what != "diverging"]


def furthest(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name].double() - other[name].double()).abs().max()) for name in one)


@pytest.mark.parametrize("rows", [2, 7, 8])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_the_ranks_shares_are_the_batch_in_its_order(rows: int, world: int) -> None:
    parts = [Ranks(rank, world).share(torch.arange(rows)) for rank in range(world)]
    assert torch.cat(parts).tolist() == list(range(rows))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("ranks", [2, 3])
def test_gradients_are_those_of_one_process(tmp_path: Path, ranks: int) -> None:
    (alone,) = each("gradients", tmp_path / "1", ranks=1)
    for rank, together in enumerate(each("gradients", tmp_path / "n", ranks=ranks)):
        assert furthest(alone, together) < 1e-5, rank
    assert max(float(one.abs().max()) for one in alone.values()) > 1e-2  # the control: there is something to compare


@pytest.mark.parametrize("ranks", [2, 3])
def test_all_ranks_end_with_the_same_state_and_records(tmp_path: Path, ranks: int) -> None:
    first, *others = each("trained", tmp_path / "first", ranks=ranks)
    assert "average.module.backbone.bn1.running_mean" in first
    for other in others:
        assert furthest(first, other) == 0
    assert furthest(first, each("trained", tmp_path / "again", ranks=ranks)[0]) == 0
    # The control: BatchNorm sees fewer images at a time than in one process.
    assert furthest(first, each("trained", tmp_path / "alone", ranks=1)[0]) > 1e-4


def test_the_same_samples_are_seen_in_each_step_whatever_the_number_of_ranks(tmp_path: Path) -> None:
    (alone,) = each("frozen", tmp_path / "1", ranks=1)
    for ranks in (2, 3):
        (together, *_) = each("frozen", tmp_path / str(ranks), ranks=ranks)
        assert furthest(alone, together) < 1e-5, ranks


def test_all_ranks_stop_early_after_the_same_epoch(tmp_path: Path) -> None:
    first, second = (int(one["epochs"][-1]) for one in each("stopped", tmp_path / "2", ranks=2))
    assert first == second < 20


def test_a_loss_that_is_not_finite_ends_all_ranks_with_the_same_words(tmp_path: Path) -> None:
    each("diverging", tmp_path / "2", ranks=2)
    first, second = ((tmp_path / "2" / f"{rank}.txt").read_text() for rank in range(2))
    assert first == second
    assert re.match(r"the loss is not finite at epoch \d, step \d, on ", first)
    assert "3.png" in first


def test_a_batch_too_small_for_its_ranks_is_refused() -> None:
    with pytest.raises(ValueError, match="4 images a batch for 3 processes: each wants 2 or more"):
        State(Localizer(SMALL), RECIPE, images=9, ranks=Ranks(0, 3))


def test_alone_nothing_is_changed() -> None:
    rows = torch.arange(6.0)
    assert ALONE.share(rows).tolist() == ALONE.total(rows).tolist() == ALONE.whole(rows, 6).tolist() == rows.tolist()
    assert ALONE.hand_out(b"bytes") == b"bytes"
    model = Localizer(SMALL)
    assert ALONE.averaging(model, sync_batch_norm=True) is model
