"""How fast training is beside its peers: `make bench`, or `make bench QUICK=1`, under five minutes on two cores.

All that is compared runs in turn in this one process, on the same images, boxes, batch and device. A ratio is a
quotient of times or rates within a round; printed and written are the median, the lowest and the highest of the
rounds. The peers' networks get our loss, optimiser and memory format ("equal flags"), the seed script's loop its own.
"""

import argparse
import itertools
import tempfile
from dataclasses import asdict
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from bench import kept, seed, turns
from bench.gpu import parts
from bench.overhead import overhead
from bench.steps import Pairs, choices, steps, whole_epoch
from bench.turns import Row, in_turn, ratios, row
from bench.works import PARAMS, batch_of, photographs, state, where
from localizer.device import choose_device, set_deterministic
from localizer.images.pixel_cache import load_pixels
from localizer.model.augmentation import augment, draw
from localizer.predictor import to_tensor
from localizer.training.samples import Samples

CHOICES: Pairs = {"bf16_vs_fp32": ({"bf16": False}, {"bf16": True}), "compiled_vs_plain": ({}, {"compile": "on"})}
NOT_HERE = "no GPU here: `make bench` on one fills it"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="96 px, few rounds")
    parser.add_argument("--json", type=Path, help="where the rows go; bench/results/DEVICE.json without it")
    options = parser.parse_args()
    device = choose_device("auto")
    set_deterministic(PARAMS.deterministic)
    with tempfile.TemporaryDirectory() as folder:
        rows = on_gpu(device, Path(folder)) if device.type == "cuda" else on_cpu(device, Path(folder), options.quick)
    turns.show(rows)
    kind = "quick" if options.quick else device.type
    kept.write(options.json or kept.RESULTS / f"{kind}.json", [asdict(one) for one in rows])


def on_cpu(device: torch.device, folder: Path, quick: bool) -> list[Row]:
    sides, rounds = ([96], 3) if quick else ([224, 96], 7)
    rows = []
    for side in sides:
        suffix = "" if side == sides[0] else f"_{side}"
        rows += steps(device, side=side, batch=8, rounds=rounds, prefix="cpu", suffix=suffix)
        rows.append(whole_epoch(device, side=side, images=16 if quick else 32, rounds=rounds, suffix=suffix))
    if not quick:
        rows += choices(
            device, side=PARAMS.image_size, batch=PARAMS.batch_size, rounds=rounds, prefix="cpu", pairs=CHOICES
        )
    rows.append(first_epoch_input(device, folder, images=32 if quick else 128, rounds=rounds))
    rows.append(overhead_share(device, epochs=2 if quick else PARAMS.epochs))
    names = ["gpu_step_vs_timm", "gpu_step_vs_torchvision", "gpu_end_to_end_vs_seed", "gpu_roofline_share"]
    return rows + [row(name, [], unit="x", device="cuda", note=NOT_HERE) for name in names]


def on_gpu(device: torch.device, folder: Path) -> list[Row]:
    measured = (parts.steps_large, parts.steps_small, parts.choices, parts.end_to_end)
    rows = [one for part in measured for one in part(device, parts.Scale())]
    return [
        *rows,
        first_epoch_input(device, folder, images=512, rounds=7),
        overhead_share(device, epochs=PARAMS.epochs),
    ]


def first_epoch_input(device: torch.device, folder: Path, *, images: int, rounds: int) -> Row:
    """Compare the way from files to batches at 224 px: the seed's loader, and ours with an empty cache."""
    table, paths, digests = photographs(folder, images)
    loader = DataLoader(seed.SeedImages(table, side=224), batch_size=seed.BATCH)
    strength, boxes = PARAMS.train_config(device).augmentation, torch.tensor([[0.2, 0.2, 0.8, 0.8]]).repeat(images, 1)
    caches = itertools.count()

    def ours(cache: Path) -> None:
        pixels = to_tensor(load_pixels(paths, digests, 224, folder=cache)).to(device)
        for rows in torch.arange(images).split(32):
            augment(pixels[rows], boxes[rows].to(device), draws[rows].to(device), strength=strength)

    draws = draw(images, seed=0, epoch=1)
    took = in_turn(
        {
            "seed": lambda: list(loader),
            "cold": lambda: ours(folder / f"cache{next(caches)}"),
            "warm": lambda: ours(folder / "cache"),
        },
        device,
        rounds=rounds,
    )
    warm = min(ratios(took["seed"], took["warm"]))
    note = f"{images} JPEGs of 640 x 427; later epochs at least {warm:.1f} x"
    return row("first_epoch_input_vs_seed", ratios(took["seed"], took["cold"]), unit="x", device=where(), note=note)


def overhead_share(device: torch.device, *, epochs: int) -> Row:
    """Measure the share of the time that goes into checkpoints and tracking, on epochs as long as the demo's."""
    samples = Samples(*batch_of(parts.DEMO, PARAMS.image_size, device))
    ours, how = state(device, images=parts.DEMO, batch=PARAMS.batch_size, epochs=epochs)
    share = overhead(ours, samples, how, show_every=PARAMS.show_every)
    note = f"{epochs} epochs of {parts.DEMO} images, one round"
    return row("overhead_share", [share], unit="of the time", device=where(), note=note)


if __name__ == "__main__":
    main()
