"""The number of threads of a training: where it comes from, and what depends on it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from localizer import config
from localizer.device import environment, set_threads
from localizer.training.params import TrainParams

ROOT = Path(__file__).parents[2]
VALUES = config.read_yaml(ROOT / "params.yaml")["train"]
TRAINING = """
import hashlib, sys, torch
from localizer.device import set_threads
from localizer.model.localizer import Localizer
from localizer.training.loop import fit
from localizer.training.state import TrainState
from training_toy import RECIPE, SMALL, squares, weights
set_threads(sys.argv[1] if sys.argv[1] == "auto" else int(sys.argv[1]))
torch.manual_seed(0)
state = TrainState(Localizer(SMALL), RECIPE, images=8)
list(fit(state, squares(8), squares(2), config=RECIPE))
print(torch.get_num_threads(), hashlib.sha256(weights(state.model).numpy().tobytes()).hexdigest())
"""


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def params(threads: Any) -> TrainParams:
    return config.parse(TrainParams, VALUES | {"threads": threads}, where="params.yaml: train")


def trained(threads: str, *, omp: str) -> list[str]:
    """Return the number of threads of a tiny training in its own process, and the digest of its weights."""
    paths = f"{ROOT / 'src'}:{ROOT / 'tests/support'}"
    env = os.environ | {"OMP_NUM_THREADS": omp, "PYTHONPATH": paths}
    command = [sys.executable, "-c", TRAINING, threads]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize("threads", ["auto", 1, 7])
def test_threads_are_auto_or_a_number(threads: Any) -> None:
    assert params(threads).threads == threads


@pytest.mark.parametrize("threads", [0, -1, 1025, 1.0, True, "2", "all", None])
def test_other_threads_are_refused_in_one_line(threads: Any) -> None:
    with pytest.raises(ValueError, match=r"^params\.yaml: train\.threads: expected auto or an integer from 1") as error:
        params(threads)
    assert str(error.value).endswith(f"to 1024, got {threads!r}")


def test_auto_leaves_torchs_own_number() -> None:
    torch.set_num_threads(3)
    set_threads("auto")
    assert torch.get_num_threads() == 3


def test_a_number_may_be_larger_than_that_of_the_cores_and_is_in_the_fingerprint() -> None:
    set_threads(7)
    assert environment(torch.device("cpu"), "fp32", processes=1)["threads"] == "7"


def test_the_model_card_gets_the_number_that_auto_was_on_a_cpu() -> None:
    torch.set_num_threads(3)
    assert params("auto").with_threads(torch.device("cpu")).threads == 3


def test_the_model_card_of_a_gpu_keeps_auto() -> None:
    assert params("auto").with_threads(torch.device("cuda")).threads == "auto"


@pytest.mark.slow
def test_the_same_number_gives_the_same_weights_wherever_it_was_set_and_another_gives_others() -> None:
    by_environment, by_param, other = trained("auto", omp="2"), trained("2", omp="1"), trained("auto", omp="1")
    assert by_environment == by_param
    assert (by_param[0], other[0]) == ("2", "1")
    assert by_param[1] != other[1]  # else this test would compare nothing
