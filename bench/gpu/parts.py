"""What the parts of the plan measure; each yields its rows as it has them."""

import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from bench import kept, seed
from bench.gpu import bccd, plan
from bench.gpu.run import rows
from bench.kept import ROOT
from bench.turns import Row, row
from bench.works import PARAMS, batch_of, photographs, state, where
from localizer.device import choose_device, set_deterministic
from localizer.images.pixel_cache import load_pixels
from localizer.predictor import to_tensor
from localizer.training.loop import fit
from localizer.training.samples import Samples

DEMO = 1380  # training images of the demo


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    large, small: batches at `side` px; repeat: steps in a round; photos: of end_to_end; min_steps: of bccd; tests,
    tests_of_graphs: which to run, as pytest's -k.
    """

    side: int = 224
    large: int = 256
    small: int = 64
    repeat: int = 20
    rounds: int = 5
    photos: int = 512
    default_side: int = PARAMS.image_size
    default_batch: int = PARAMS.batch_size
    demo: int = DEMO // PARAMS.batch_size * PARAMS.batch_size
    min_steps: int = PARAMS.min_steps
    tests: str = "not auto and not graph"
    tests_of_graphs: str = "auto or graph"


TINY = Scale(
    side=32,
    large=4,
    small=2,
    repeat=1,
    rounds=1,
    photos=8,
    default_side=32,
    default_batch=2,
    demo=4,
    min_steps=2,
    tests="answers",
    tests_of_graphs="auto and waits",
)


def run(name: str, folder: Path, *, rehearse: bool) -> None:
    """Run a part in this process, and add its rows to rows.json in the folder as they come."""
    device = choose_device("cpu" if rehearse else "cuda")
    set_deterministic(PARAMS.deterministic)
    if rehearse:
        torch.compiler.set_stance("force_eager")
    for one in PARTS[name](device, TINY if rehearse else Scale()):
        kept.write(folder / "rows.json", [asdict(row) for row in (*rows(folder), one)])
        print(one, flush=True)


class Measured:
    """A plugin of pytest that makes rows of what the tests have recorded: a number and its unit, by name."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def pytest_runtest_logreport(self, report: Any) -> None:
        for name, value in report.user_properties if report.when == "call" else ():
            number, unit = str(value).split(maxsplit=1)
            self.rows.append(row(f"gpu_{name}", [float(number)], unit=unit, device=where()))


def tests(device: torch.device, scale: Scale) -> Iterator[Row]:
    yield from _tests(device, scale.tests)


def tests_of_graphs(device: torch.device, scale: Scale) -> Iterator[Row]:
    """Run those whose steps are a CUDA graph apart: a capture that fails spoils what follows in its process."""
    yield from _tests(device, scale.tests_of_graphs)


def _tests(device: torch.device, chosen: str) -> Iterator[Row]:
    """Run the tests that need a GPU, or the same ones on a CPU; yield what they have measured."""
    import pytest  # which is not there everywhere

    measured = Measured()
    marked = "gpu" if device.type == "cuda" else "not gpu"
    # No conftest.py: it needs dvc. Another version of a package may warn of what ours doesn't.
    options = ["--noconftest", "-p", "no:cacheprovider", "-W", "default", "-v", "--tb=short"]
    options += ["-m", marked, "-k", chosen, str(ROOT / "tests/training/test_gpu.py")]
    status = pytest.main(options, plugins=[measured])
    yield from measured.rows
    if status:
        sys.exit(int(status))


def steps_large(device: torch.device, scale: Scale) -> Iterator[Row]:
    yield from _steps(device, scale, side=scale.side, batch=scale.large, suffix="")


def steps_small(device: torch.device, scale: Scale) -> Iterator[Row]:
    yield from _steps(device, scale, side=scale.side, batch=scale.small, suffix="_64")


def default(device: torch.device, scale: Scale) -> Iterator[Row]:
    """Measure the config of params.yaml as it is, on as many images as the demo has, and with `compile: auto`."""
    from bench import steps

    size = {"side": scale.default_side, "batch": scale.default_batch, "images": scale.demo}
    yield from _steps(device, scale, **size, suffix="_default")
    yield steps.executions(device, **size, rounds=scale.rounds, suffix="_default")


def _steps(device: torch.device, scale: Scale, *, side: int, batch: int, suffix: str, images: int = 0) -> Iterator[Row]:
    from bench import steps  # which needs timm

    yield from steps.steps(
        device, side=side, batch=batch, rounds=scale.rounds, prefix="gpu", suffix=suffix, repeat=scale.repeat
    )
    images = images or batch * scale.repeat
    yield steps.whole_epoch(device, side=side, images=images, rounds=scale.rounds, suffix=suffix, batch=batch)


def compiled_large(device: torch.device, scale: Scale) -> Iterator[Row]:
    yield from _compiled(device, scale, batch=scale.large, suffix="")


def compiled_small(device: torch.device, scale: Scale) -> Iterator[Row]:
    yield from _compiled(device, scale, batch=scale.small, suffix="_64")


def _compiled(device: torch.device, scale: Scale, *, batch: int, suffix: str) -> Iterator[Row]:
    from bench import steps

    yield from steps.compiled_steps(
        device, side=scale.side, batch=batch, rounds=scale.rounds, suffix=suffix, repeat=scale.repeat
    )


def choices(device: torch.device, scale: Scale) -> Iterator[Row]:
    """Compare bfloat16 with fp32, and the fastest kernels with the deterministic ones."""
    from bench import steps

    size = {"side": scale.side, "batch": scale.large, "rounds": scale.rounds}
    repeat = max(1, scale.repeat // 2)
    pairs = {"bf16_vs_fp32": ({"bf16": False}, {"bf16": True})}
    yield from steps.choices(device, **size, prefix="gpu", repeat=repeat, pairs=pairs)
    yield steps.not_deterministic(device, **size, repeat=repeat)


def end_to_end(device: torch.device, scale: Scale) -> Iterator[Row]:
    """Compare images a second of whole epochs: the seed's script as shipped, and ours at its own batch."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table, paths, digests = photographs(folder / "small", scale.photos, side=scale.side)
        pixels = to_tensor(load_pixels(paths, digests, scale.side, folder=folder / "end")).to(device)
        samples = Samples(pixels, batch_of(len(paths), 32, device)[1])
        ours, how = state(device, images=len(paths), batch=scale.large, epochs=4)
        theirs = seed.epochs(seed.SeedImages(table, side=None), seed.SeedStep(device))
        epochs = fit(ours, samples, samples, config=how)
        rates = [(next(epochs).images_per_s, next(theirs)) for _ in range(4)][1:]
    ours_best, theirs_best = (max(column) for column in zip(*rates, strict=True))
    note = f"{scale.side} px, after the first epoch; {ours_best:.0f} and {theirs_best:.0f} images/s"
    yield row("gpu_end_to_end_vs_seed", [one / other for one, other in rates], unit="x", device=where(), note=note)


def train_bccd(device: torch.device, scale: Scale) -> Iterator[Row]:
    """Train on bccd by the recipe of params.yaml at the larger size."""
    path = ROOT / plan.PACK
    with tempfile.TemporaryDirectory() as name:
        if scale is TINY:
            path = bccd.made_up(Path(name) / path.name, side=scale.side)
        yield from bccd.train(path, device, PARAMS, min_steps=scale.min_steps)


PARTS: dict[str, Callable[[torch.device, Scale], Iterator[Row]]] = {
    "tests": tests,
    "tests_of_graphs": tests_of_graphs,
    "steps_large": steps_large,
    "default": default,
    "bccd": train_bccd,
    "steps_small": steps_small,
    "end_to_end": end_to_end,
    "compiled_large": compiled_large,
    "compiled_small": compiled_small,
    "choices": choices,
}
