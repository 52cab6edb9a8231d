"""How a step is executed; what a CPU can hold of CUDA graphs."""

from pathlib import Path

import pytest
import torch
from training_toy import RECIPE, SMALL, squares, weights

from localizer.config import read_yaml
from localizer.model.localizer import Localizer
from localizer.training.execution import GRAPH_PIXELS, choose_execution, warm_up
from localizer.training.loop import train_step
from localizer.training.params import TrainParams
from localizer.training.state import Compile, TrainConfig, TrainState

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("compile", "device", "pixels", "world_size", "expected"),
    [
        ("off", "cuda", 1, 1, "eager"),
        ("on", "cuda", 1, 1, "compiled"),
        ("on", "cpu", 1, 1, "compiled"),
        ("auto", "cpu", 1, 1, "eager"),
        ("auto", "cuda", 32 * 64 * 64, 1, "graph"),
        ("auto", "cuda", 64 * 224 * 224, 1, "compiled"),
        ("auto", "cuda", GRAPH_PIXELS, 2, "compiled"),
    ],
)
def test_the_execution_follows_from_param_device_and_size(
    compile: Compile, device: str, pixels: int, world_size: int, expected: str
) -> None:
    chosen = choose_execution(compile, torch.device(device), pixels=pixels, world_size=world_size)
    assert chosen == expected


@pytest.mark.parametrize(("written", "read"), [("off", "off"), ("auto", "auto"), (False, "off"), (True, "on")])
def test_the_former_values_and_yamls_own_reading_of_off_are_understood(written: str | bool, read: str) -> None:
    values = read_yaml(ROOT / "params.yaml")["train"] | {"compile": written}
    assert TrainParams.model_validate(values).compile == read


def new_state(config: TrainConfig = RECIPE) -> TrainState:
    torch.manual_seed(0)
    state = TrainState(Localizer(SMALL), config, images=8)
    state.train_mode()
    return state


@pytest.mark.parametrize("steps_before", [0, 2])
def test_warm_up_steps_are_undone_to_the_bit(steps_before: int) -> None:
    samples = squares(4)
    pixels = samples.pixels.float() / 255

    def step(of: TrainState) -> torch.Tensor:
        return train_step(of, pixels, samples.boxes, config=RECIPE)

    plain, warmed = new_state(), new_state()
    for state in (plain, warmed):
        for _ in range(steps_before):
            step(state)
    places = {name: tensor.data_ptr() for name, tensor in warmed.tensors().items()}
    moved = weights(warmed.model)

    def seen(*_: torch.Tensor) -> torch.Tensor:
        loss = step(warmed)
        assert not torch.equal(weights(warmed.model), moved)  # a control: it does make steps
        return loss

    warm_up(seen, [pixels], warmed)
    assert {name: warmed.tensors()[name].data_ptr() for name in places} == places
    for state in (plain, warmed):
        step(state)
    expected = plain.tensors()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in warmed.tensors().items())
    assert expected.keys() == warmed.tensors().keys()
