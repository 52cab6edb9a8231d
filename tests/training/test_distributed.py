"""Ranks: what two and three processes learn together is what one process learns from the same batches."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch import Tensor
from training_toy import RECIPE, SMALL

from localizer.model.localizer import Localizer
from localizer.training.distributed import ALONE, Ranks, connecting, join_timeout
from localizer.training.launch import SETTINGS, code_digest, cores
from localizer.training.state import TrainState

pytestmark = pytest.mark.slow

TOY = Path(__file__).parents[1] / "support" / "ranks_toy.py"
SOURCES = TOY.parents[2] / "src"
WORKS = ("gradients", "trained", "frozen", "stopped", "diverging", "alike", "unlike")
AGAIN = ("trained", "resumed", "other_seed", "first_weights")  # of another start, `trained` with nothing before it


def run_toy(folder: Path, *works: str, ranks: int) -> "subprocess.CompletedProcess[str]":
    """Let each rank do the works; without torchrun for one."""
    torchrun = ["-m", "torch.distributed.run", f"--nproc-per-node={ranks}"] if ranks > 1 else []
    env = os.environ | {"PYTHONPATH": str(SOURCES), "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *torchrun, TOY, folder, *works], env=env, capture_output=True, text=True)


Left = Callable[..., Path]  # of so many ranks, and which start of them it is


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Left:
    """Gives the folder in which so many ranks have left all of their works: one start for all tests."""

    @cache
    def of(ranks: int, *works: str) -> Path:
        folder = tmp_path_factory.mktemp(f"ranks{ranks}")
        done = run_toy(folder, *(works or WORKS), ranks=ranks)
        assert done.returncode == 0, done.stderr
        return folder

    return of


def each(what: str, folder: Path) -> list[dict[str, Tensor]]:
    """Return what each rank left of a work."""
    return [load_file(path) for path in sorted(folder.glob(f"{what}-*.safetensors"))]


def words(what: str, folder: Path) -> list[str]:
    """Return the error that each rank found."""
    return [path.read_text() for path in sorted(folder.glob(f"{what}-*.txt"))]


def furthest(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name].double() - other[name].double()).abs().max()) for name in one)


@pytest.mark.parametrize("rows", [2, 7, 8])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_the_ranks_shares_are_the_batch_in_its_order(rows: int, world: int) -> None:
    parts = [Ranks(rank, world).shard(torch.arange(rows)) for rank in range(world)]
    assert torch.cat(parts).tolist() == list(range(rows))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("ranks", [2, 3])
def test_gradients_are_those_of_one_process(left: Left, ranks: int) -> None:
    (alone,) = each("gradients", left(1))
    together = each("gradients", left(ranks))
    assert len(together) == ranks
    assert max(furthest(alone, one) for one in together) < 1e-5
    assert max(float(one.abs().max()) for one in alone.values()) > 1e-2  # the control: there is something to compare


@pytest.mark.parametrize("ranks", [2, 3])
def test_all_ranks_end_with_the_same_state_and_records(left: Left, ranks: int) -> None:
    first, *others = each("trained", left(ranks))
    assert "average.backbone.bn1.running_mean" in first
    assert len(others) == ranks - 1
    assert max(furthest(first, other) for other in others) == 0
    assert furthest(first, each("trained", left(ranks, *AGAIN))[0]) == 0
    # The control: BatchNorm sees fewer images at a time than in one process.
    assert furthest(first, each("trained", left(1))[0]) > 1e-4


@pytest.mark.parametrize("ranks", [2, 3])
def test_a_resumed_training_of_several_ranks_ends_with_the_bits_of_an_uninterrupted_one(left: Left, ranks: int) -> None:
    folder = left(ranks, *AGAIN)
    uninterrupted, *_ = each("trained", folder)
    assert [furthest(uninterrupted, one) for one in each("resumed", folder)] == [0] * ranks
    assert furthest(uninterrupted, each("other_seed", folder)[0]) > 0  # the control


def test_all_ranks_start_with_the_weights_of_the_first(left: Left) -> None:
    first, second, third = each("first_weights", left(3, *AGAIN))
    own = [name for name in first if name.startswith("model.")]
    assert furthest(*({name: one[name] for name in own} for one in (first, second))) == 0
    assert furthest(*({name: one[name] for name in own} for one in (first, third))) == 0
    # The control: averages start with the first step, and are still those of each rank's own seed.
    assert furthest(first, second) > 0


def test_the_same_samples_are_seen_in_each_step_whatever_the_number_of_ranks(left: Left) -> None:
    (alone,) = each("frozen", left(1))
    for ranks in (2, 3):
        assert furthest(alone, each("frozen", left(ranks))[0]) < 5e-4, ranks  # rounding, which AdamW enlarges


def test_all_ranks_stop_early_after_the_same_epoch(left: Left) -> None:
    first, second = (int(one["epochs"][-1]) for one in each("stopped", left(2)))
    assert first == second < 20


def test_a_loss_that_is_not_finite_ends_all_ranks_with_the_same_words(left: Left) -> None:
    first, second = words("diverging", left(2))
    assert first == second
    assert re.match(r"the loss is not finite at epoch \d, step \d, on ", first)
    assert "3.png" in first


def test_a_rank_that_differs_is_named_by_all_ranks(left: Left) -> None:
    first, *others = words("unlike", left(3))
    assert others == [first, first]
    assert re.match(r"rank 2 on (\S+): torch, code: not as on rank 0 on \1; all machines need the same ", first)
    assert words("alike", left(3)) == []
    assert len(each("alike", left(3))) == 3


def test_a_rank_that_falls_silent_is_given_up_but_one_that_works_alone_is_waited_for(tmp_path: Path) -> None:
    done = run_toy(tmp_path, "waiting", "silent", ranks=2)
    assert len(each("waiting", tmp_path)) == 2, done.stderr
    # Of gloo's message without the place in its code.
    assert re.search(r"ConnectionError: rank 0 of 2 on \S+ has lost the others: Timed out waiting 5000ms", done.stderr)
    assert done.returncode


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "[/__w/gloo/tcp/pair.cc:561] Connection closed by peer [10.0.0.2]:9",
            "Connection closed by peer [10.0.0.2]:9",
        ),
        ("Application timeout caused pair closure", "Application timeout caused pair closure"),
    ],
)
def test_a_lost_connection_is_told_without_the_place_in_gloos_code(said: str, told: str) -> None:
    with pytest.raises(ConnectionError) as caught, connecting("lost"):
        raise RuntimeError(said)
    assert str(caught.value) == f"lost: {told}"


def test_ranks_on_a_cpu_with_sync_batch_norm_are_refused() -> None:
    with pytest.raises(ValueError, match=r"sync_batch_norm: expected false on a CPU, got true .*; set it to false"):
        Ranks(0, 2).prepare_model(Localizer(SMALL), sync_batch_norm=True)


@pytest.fixture
def one_rank() -> Iterator[Ranks]:
    """A single rank that has a process group."""
    store = dist.HashStore()  # type: ignore[attr-defined]
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield Ranks(0, 1, dist.group.WORLD, dist.group.WORLD)
    dist.destroy_process_group()


def test_sync_batch_norm_has_the_ranks_group_and_the_moving_average_does_without(one_rank: Ranks) -> None:
    config = replace(RECIPE, sync_batch_norm=True, ema_decay=0.5)
    state = TrainState(Localizer(SMALL), config, images=8, ranks=one_rank)
    layer, averaged = (model.get_submodule("backbone.bn1") for model in (state.model, state.eval_model))
    assert isinstance(layer, torch.nn.SyncBatchNorm)
    assert layer.process_group is one_rank.group
    assert isinstance(averaged, torch.nn.BatchNorm2d)
    state.step(state.model.get_parameter("backbone.bn1.weight").sum())
    assert averaged.weight.tolist() == layer.weight.tolist() != [1.0] * 64


@pytest.mark.parametrize(
    ("told", "seconds"),
    [("", 20), (SETTINGS["PET_RDZV_CONF"], 20), ("timeout=600", 600), ("read_timeout=9, join_timeout=90", 90)],
)
def test_ranks_look_for_one_another_as_long_as_machines_do(
    monkeypatch: pytest.MonkeyPatch, told: str, seconds: int
) -> None:
    monkeypatch.setenv("PET_RDZV_CONF", told)
    assert join_timeout() == timedelta(seconds=seconds)


def test_cores_are_counted_where_the_system_tells_none_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cores() == len(os.sched_getaffinity(0))
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS
    assert cores() == os.cpu_count()


def test_the_codes_digest_changes_with_the_script(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("one")
    before = code_digest(script)
    assert code_digest(script) == before
    script.write_text("other")
    assert code_digest(script) != before


def test_a_batch_too_small_for_its_ranks_is_refused() -> None:
    with pytest.raises(ValueError, match="2 images or more per process, got a batch of 4 for 3 processes"):
        TrainState(Localizer(SMALL), RECIPE, images=9, ranks=Ranks(0, 3))


def test_alone_nothing_is_changed() -> None:
    rows = torch.arange(6.0)
    assert (
        ALONE.shard(rows).tolist()
        == ALONE.all_reduce(rows).tolist()
        == ALONE.gather_rows(rows, 6).tolist()
        == rows.tolist()
    )
    assert ALONE.broadcast(b"bytes") == b"bytes"
    model = Localizer(SMALL)
    ALONE.prepare_model(model, sync_batch_norm=True)
    assert not any(isinstance(layer, torch.nn.SyncBatchNorm) for layer in model.modules())
