"""The benches: that they measure what they say, and say so where they can't."""

import json
from pathlib import Path

import pytest
import torch
import torchvision
from PIL import Image

from bench import seed, turns
from bench.works import batch_of, photographs, state
from localizer.training.engine import Samples, fit

CPU = torch.device("cpu")


def test_what_is_compared_runs_in_turn_and_the_first_round_does_not_count() -> None:
    ran: list[str] = []
    took = turns.in_turn({name: lambda name=name: ran.append(name) for name in "ab"}, CPU, rounds=2)  # type: ignore[misc]
    assert ran == ["b", "a", "a", "b", "b", "a"]
    assert [len(times) for times in took.values()] == [2, 2]


def test_a_row_is_the_median_of_its_rounds_between_the_lowest_and_the_highest() -> None:
    row = turns.row("a", [1.0, 4.0, 2.0], unit="x", device="cpu")
    assert (row.ratio, row.low, row.high, row.rounds) == (2.0, 1.0, 4.0, 3)


def test_what_was_not_measured_has_no_number(capsys: pytest.CaptureFixture[str]) -> None:
    row = turns.row("gpu", [], unit="x", device="cuda", note="no GPU here")
    turns.show([row])
    assert "not run" in capsys.readouterr().out
    turns.write([row], Path("rows.json"))
    (written,) = json.loads(Path("rows.json").read_text())
    assert {*written} >= {"name", "ratio", "low", "high", "unit", "device", "commit"}
    assert written["ratio"] is None


def test_the_seeds_network_is_torchvisions_with_biases() -> None:
    plain = torchvision.models.resnet50(num_classes=4)
    biases = sum(module.out_channels for module in plain.modules() if isinstance(module, torch.nn.Conv2d))
    count = sum(parameter.numel() for parameter in seed.seed_network().parameters())
    assert count == sum(parameter.numel() for parameter in plain.parameters()) + biases
    images = torch.rand(2, 3, 64, 64)
    assert seed.seed_network()(images).shape == (2, 4)


def test_the_seeds_images_are_scaled_by_one_global_number_and_may_be_resized() -> None:
    table, *_ = photographs(Path("photos"), 3)
    images = seed.SeedImages(table, side=32)
    pixels, box = images[0]
    assert pixels.shape == (3, 32, 32)
    assert box.tolist() == pytest.approx([20 / 120, 30 / 120, 100 / 120, 1])
    assert seed.SeedImages(table, side=None)[0][0].shape == (3, 427, 640)


def test_the_seeds_script_goes_through_its_epochs() -> None:
    table, *_ = photographs(Path("photos"), 4, side=32)
    epochs = seed.epochs(table, CPU)
    assert next(epochs) > 0


def test_the_photographs_differ_and_are_the_same_again() -> None:
    _, paths, digests = photographs(Path("photos"), 4)
    with Image.open(paths[0]) as photo:
        assert photo.size == (640, 427)
    assert len(set(digests)) == 4
    assert photographs(Path("again"), 4)[2] == digests


def test_our_state_trains_on_a_batch_of_the_bench() -> None:
    ours, how = state(CPU, images=4, batch=2)
    samples = Samples(*batch_of(4, 32, CPU))
    (epoch,) = fit(ours, samples, samples, recipe=how)
    assert epoch.images_per_s > 0
