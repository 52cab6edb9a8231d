"""What only a GPU can show, on the config of params.yaml; `make gpu` runs it there.

The same tests run on a CPU, small, wherever that makes sense, so that they are known to run.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from bench.seed import torch_defaults
from bench.works import PARAMS, batch_of, state
from localizer.device import choose_device, set_deterministic
from localizer.model.augmentation import augment, draw
from localizer.model.localizer import Localizer
from localizer.model.resnet import Depth
from localizer.predictor import predict_boxes
from localizer.training import loop
from localizer.training.checkpoints import Checkpoints
from localizer.training.loop import fit, train_step
from localizer.training.samples import Samples
from localizer.training.state import Compile, TrainConfig, TrainState

pytestmark = pytest.mark.slow

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU: `make gpu` runs it there")
GPU = pytest.param("cuda", marks=[pytest.mark.gpu, NO_GPU])
MODES = pytest.mark.parametrize("compile", ["off", "auto"])  # auto: on a GPU one CUDA graph of such small steps
STEPS = 3  # of an epoch
MOST_MIB = 64  # of memory for an image of 224 px in training: 16 GiB for 256
FP32_APART, BF16_APART = 1e-4, 0.03  # of the image: most that an edge of a box may be apart


@pytest.fixture(params=["cpu", GPU])
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """The device, set up as the stage does it; a GPU's only on one."""
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    chosen = choose_device(request.param)
    set_deterministic(True)
    yield chosen
    torch.use_deterministic_algorithms(before[0])
    torch.backends.cudnn.benchmark = before[1]


def size(device: torch.device) -> tuple[Depth, int, int]:
    """Return the ResNet's depth, the batch, and the images' side."""
    return (PARAMS.depth, PARAMS.batch_size, PARAMS.image_size) if device.type == "cuda" else (18, 2, 32)


def samples(device: torch.device) -> Samples:
    _, batch, side = size(device)
    return Samples(*batch_of(STEPS * batch, side, device))


def start(
    device: torch.device, *, seed: int = 0, epochs: int = 2, compile: Compile = "off"
) -> tuple[TrainState, TrainConfig]:
    torch.manual_seed(seed)
    depth, batch, _ = size(device)
    made, how = state(device, images=STEPS * batch, batch=batch, epochs=epochs, depth=depth, compile=compile)
    return made, replace(how, seed=seed)


def trained(images: Samples, device: torch.device, *, seed: int = 0, compile: Compile = "off") -> dict[str, Tensor]:
    """Return all tensors of a training of two epochs."""
    made, how = start(device, seed=seed, compile=compile)
    list(fit(made, images, images, config=how))
    return made.tensors()


def differing(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    """Return the names of the tensors that are not equal to the bit."""
    assert one.keys() == other.keys()
    return [name for name in one if not torch.equal(one[name].cpu(), other[name].cpu())]


@MODES
def test_two_trainings_are_equal_to_the_bit_and_one_of_another_seed_is_not(
    device: torch.device, compile: Compile
) -> None:
    images = samples(device)
    first = trained(images, device, compile=compile)
    assert differing(trained(images, device, compile=compile), first) == []
    assert "model.backbone.conv1.weight" in differing(trained(images, device, seed=1, compile=compile), first)


@pytest.mark.parametrize("device", [GPU], indirect=True)
def test_a_cuda_graph_of_a_step_gives_the_weights_of_the_steps_one_by_one(
    device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = samples(device)
    graph = trained(images, device, compile="auto")
    monkeypatch.setattr(loop, "choose_execution", lambda *_, **__: "eager")
    assert differing(graph, trained(images, device, compile="auto")) == []


@MODES
def test_a_training_resumed_from_a_checkpoint_is_equal_to_the_bit(
    device: torch.device, tmp_path: Path, compile: Compile
) -> None:
    images, checkpoints = samples(device), Checkpoints(tmp_path, {"inputs": "the same"})
    made, how = start(device, compile=compile)
    checkpoints.save([next(fit(made, images, images, config=how))], made.tensors())
    found = checkpoints.latest()
    assert found
    resumed, _ = start(device, seed=1, compile=compile)
    resumed.restore(found.tensors, epoch=1)
    assert differing(resumed.tensors(), found.tensors) == []
    assert [epoch.epoch for epoch in fit(resumed, images, images, config=how)] == [2]
    assert differing(resumed.tensors(), trained(images, device, compile=compile)) == []


class Watched:
    """In place of the progress bar: from the second epoch's first step to its last, waiting for the GPU is an error."""

    steps = 0

    def __init__(self, forbid: Callable[[bool], None]) -> None:
        self.forbid = forbid

    def __call__(self, **_: object) -> "Watched":
        return self

    __enter__ = __call__

    def __exit__(self, *_: object) -> None:
        self.forbid(False)

    def update(self, _: int) -> None:
        self.steps += 1
        self.forbid(STEPS < self.steps < 2 * STEPS)

    def set_postfix(self, **_: object) -> None:
        pass


@MODES
def test_no_step_of_a_warm_epoch_waits_for_the_gpu(
    device: torch.device, monkeypatch: pytest.MonkeyPatch, compile: Compile
) -> None:
    forbidden: list[bool] = []

    def forbid(now: bool) -> None:
        forbidden.append(now)
        if device.type == "cuda":
            torch.cuda.set_sync_debug_mode("error" if now else "default")

    monkeypatch.setattr(loop, "tqdm", Watched(forbid))
    images = samples(device)
    made, how = start(device, compile=compile)
    assert len(list(fit(made, images, images, config=how))) == 2
    assert forbidden == [False] * STEPS + [True] * (STEPS - 1) + [False] * 2


@pytest.mark.parametrize("device", [GPU], indirect=True)
def test_waiting_for_the_gpu_would_be_an_error(device: torch.device) -> None:
    value = torch.ones(1, device=device)
    torch.cuda.set_sync_debug_mode("error")
    try:
        with pytest.raises(RuntimeError, match="synchroniz"):
            value.item()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def saved_mib(device: torch.device, count: int) -> float:
    """Return the MiB that a step of `count` images keeps for its backward pass."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        step_of_224(device, count)
    return sum(kept.values()) / 2**20


def step_of_224(device: torch.device, count: int) -> None:
    """Make one step of 224 px in bfloat16."""
    pixels, boxes = batch_of(count, 224, device)
    made, how = state(device, images=count, batch=count, bf16=True)
    draws = draw(count, seed=0, epoch=1).to(device)
    train_step(made, *augment(pixels, boxes, draws, strength=how.augmentation), config=how)


def test_a_step_of_224_px_takes_at_most_64_mib_an_image(
    device: torch.device, record_property: Callable[[str, object], None]
) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        step_of_224(device, 256)
        mib = torch.cuda.max_memory_allocated() / 2**20 / 256
        record_property("memory_of_an_image_224", f"{mib:.1f} MiB")
    else:
        mib = saved_mib(device, 3) - saved_mib(device, 2)
    assert 0.3 * MOST_MIB < mib < MOST_MIB


def test_answers_are_those_of_a_cpu_and_nearly_those_in_bfloat16(
    device: torch.device, record_property: Callable[[str, object], None]
) -> None:
    images = samples(device)
    made, how = start(device, epochs=4)
    list(fit(made, images, images, config=how))
    model, pixels = made.eval_model.eval(), images.pixels
    answers = predict_boxes(model, pixels)
    with torch.autocast(device.type, torch.bfloat16):
        rounded = predict_boxes(model, pixels)
    reference = predict_boxes(copy_of(model), pixels.cpu())
    exact, apart = np.abs(answers - reference).max(), np.abs(rounded - reference).max()
    record_property("answers_vs_cpu", f"{1e6 * exact:.2f} millionths of the image")
    record_property("answers_bf16_vs_fp32", f"{1e6 * apart:.2f} millionths of the image")
    assert answers.std(axis=0).max() > 1e-3  # a control: they differ from image to image
    assert exact <= FP32_APART
    assert exact < apart < BF16_APART


def copy_of(model: Localizer) -> Localizer:
    """Return the model on the CPU."""
    copy = Localizer(model.architecture).eval()
    copy.load_state_dict({name: tensor.cpu() for name, tensor in model.state_dict().items()})
    return copy


@pytest.mark.parametrize("device", [GPU], indirect=True)
def test_fp32_means_fp32_and_tf32_would_show(device: torch.device) -> None:
    convolution = torch.nn.Conv2d(64, 64, 3).double().requires_grad_(False)
    images = torch.rand(4, 64, 16, 16, dtype=torch.float64)
    true, convolution = convolution(images), convolution.float().to(device)
    apart = lambda: float((convolution(images.float().to(device)).cpu().double() - true).abs().max())  # noqa: E731
    assert torch.backends.cudnn.conv.fp32_precision == "ieee"  # type: ignore[attr-defined]
    exact = apart()
    with torch_defaults():
        assert exact < 1e-5 < apart()


@pytest.mark.parametrize("device", [GPU], indirect=True)
def test_images_that_stay_in_cpu_memory_give_the_same_weights(device: torch.device) -> None:
    there = samples(device)
    here = Samples(there.pixels.cpu().contiguous(memory_format=torch.channels_last), there.boxes)
    assert here.pixels.device != here.boxes.device
    assert differing(trained(here, device), trained(there, device)) == []
