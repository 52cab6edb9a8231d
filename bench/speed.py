"""How fast training is beside its peers: `make bench`, or `make bench QUICK=1`, under five minutes on two cores.

All that is compared runs in turn in this one process, on the same images, boxes, batch and device. A ratio is a
quotient of times or rates within a round; printed and written are the median, the lowest and the highest of the
rounds. The peers' networks get our loss, optimiser and memory format ("equal flags"), the seed script's loop its own.
"""

import argparse
import itertools
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import timm
import torch
import torchvision
from torch.utils.data import DataLoader

from bench import kept, seed, turns
from bench.overhead import overhead
from bench.turns import Row, in_turn, ratios, row
from bench.works import PARAMS, Peer, batch_of, photographs, state, where
from localizer.device import choose_device, set_deterministic
from localizer.images.pixel_cache import load_pixels
from localizer.model.augmentation import augment, draw
from localizer.predictor import to_tensor
from localizer.training.loop import fit, train_step
from localizer.training.samples import Samples

FUSED_ROOF = {"H100": 3.35e12 / 346e6, "H200": 4.3e12 / 346e6}  # images/s at 224 px: bandwidth over bytes an image
DEMO = 1380  # training images of the demo: what an epoch's overhead is a share of
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
        rows += choices(device, side=PARAMS.image_size, batch=PARAMS.batch_size, rounds=rounds, prefix="cpu")
    rows.append(first_epoch_input(device, folder, images=32 if quick else 128, rounds=rounds))
    rows.append(overhead_share(device, epochs=2 if quick else PARAMS.epochs))
    names = ["gpu_step_vs_timm", "gpu_step_vs_torchvision", "gpu_end_to_end_vs_seed", "gpu_roofline_share"]
    return rows + [row(name, [], unit="x", device="cuda", note=NOT_HERE) for name in names]


def on_gpu(device: torch.device, folder: Path) -> list[Row]:
    rows = []
    for batch in (64, 256):
        suffix = "" if batch == 256 else f"_{batch}"
        rows += steps(device, side=224, batch=batch, rounds=7, prefix="gpu", suffix=suffix, repeat=100)
        rows.append(whole_epoch(device, side=224, images=20 * batch, rounds=7, suffix=suffix, batch=batch))
    rows += choices(device, side=224, batch=256, rounds=7, prefix="gpu", repeat=100)
    set_deterministic(False)
    rows += steps(device, side=224, batch=256, rounds=7, prefix="gpu", suffix="_not_deterministic", repeat=100)
    set_deterministic(PARAMS.deterministic)
    rows += [end_to_end(device, folder), first_epoch_input(device, folder, images=512, rounds=7)]
    return [*rows, overhead_share(device, epochs=PARAMS.epochs)]


def steps(
    device: torch.device, *, side: int, batch: int, rounds: int, prefix: str, suffix: str, repeat: int = 1
) -> list[Row]:
    """Compare one step of ours with the seed's, torchvision's and timm's, each on a batch that lies ready."""
    pixels, boxes = batch_of(batch, side, device)
    plain = (pixels.float() / 255).contiguous()
    fast = plain.contiguous(memory_format=torch.channels_last)
    loop = seed.SeedStep(device)
    ours, how = state(device, images=batch, bf16=device.type == "cuda")  # on a CPU the same fp32 work as the seed's
    peers = {
        "torchvision": Peer(torchvision.models.resnet50(num_classes=4), how, device),
        "timm": Peer(timm.create_model("resnet50", num_classes=4), how, device),
    }
    works: dict[str, Callable[[], object]] = {
        "seed": lambda: loop(plain, boxes),
        "ours": lambda: train_step(ours, plain, boxes, config=how),
        **{name: partial(peer, fast, boxes) for name, peer in peers.items()},
    }
    took = in_turn({name: partial(repeated, work, repeat) for name, work in works.items()}, device, rounds=rounds)
    note = f"{side} px, batch {batch}, {repeat * batch / min(took['ours']):.1f} images/s"
    rows = [
        row(f"{prefix}_step_vs_{name}{suffix}", ratios(took[name], took["ours"]), unit="x", device=where(), note=note)
        for name in took
        if name != "ours"
    ]
    if device.type == "cuda":
        roof = next((roof for card, roof in FUSED_ROOF.items() if card in where()), None)
        shares = [repeat * batch / time / roof for time in took["ours"]] if roof else []
        told = note if roof else f"the bandwidth of this card isn't in {Path(__file__).name}"
        rows.append(row(f"gpu_roofline_share{suffix}", shares, unit="of the fused roofline", device=where(), note=told))
    return rows


def choices(device: torch.device, *, side: int, batch: int, rounds: int, prefix: str, repeat: int = 1) -> list[Row]:
    """Compare one step in bfloat16 and in fp32, and one that torch compiled and one that it didn't."""
    pixels, boxes = batch_of(batch, side, device)
    pixels = pixels.float()
    works = {}
    for name, changed in {
        "fp32": {"bf16": False},
        "bf16": {"bf16": True},
        "plain": {},
        "compiled": {"compile": "on"},
    }.items():
        ours, how = state(device, images=batch, **changed)  # type: ignore[arg-type]
        if how.compile == "on":
            ours.forward = torch.compile(ours.forward)
        works[name] = partial(repeated, partial(train_step, ours, pixels, boxes, config=how), repeat)
    took = in_turn(works, device, rounds=rounds)
    pairs = {"bf16_vs_fp32": ("fp32", "bf16"), "compiled_vs_plain": ("plain", "compiled")}
    return [
        row(
            f"{prefix}_step_{name}",
            ratios(took[slow], took[fast]),
            unit="x",
            device=where(),
            note=f"{side} px, batch {batch}",
        )
        for name, (slow, fast) in pairs.items()
    ]


def repeated(work: Callable[[], object], times: int) -> None:
    for _ in range(times):
        work()


def whole_epoch(device: torch.device, *, side: int, images: int, rounds: int, suffix: str, batch: int = 8) -> Row:
    """Compare an epoch's images a second, warm, with those of the same steps on a batch that lies ready."""
    samples = Samples(*batch_of(images, side, device))
    ours, how = state(device, images=images, batch=batch, epochs=rounds + 1)
    bare, _ = state(device, images=images, batch=batch)
    pixels, boxes = batch_of(batch, side, device)
    ready = pixels.float() / 255
    epochs = fit(ours, samples, Samples(pixels[:1], boxes[:1]), config=how)
    shares = []
    for _ in range(rounds + 1):
        rate = next(epochs).images_per_s
        took = turns.seconds(
            lambda: [train_step(bare, ready, boxes, config=how) for _ in range(images // batch)], device
        )
        shares.append(rate * took / images)
    return row(f"epoch_vs_compute{suffix}", shares[1:], unit="of the bare rate", device=where(), note=f"{side} px")


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


def end_to_end(device: torch.device, folder: Path) -> Row:
    """Compare images a second of whole epochs: the seed's script as shipped, and ours at its own batch."""
    table, paths, digests = photographs(folder / "small", 2048, side=224)
    pixels = to_tensor(load_pixels(paths, digests, 224, folder=folder / "end")).to(device)
    samples = Samples(pixels, batch_of(len(paths), 32, device)[1])
    ours, how = state(device, images=len(paths), batch=256, epochs=8)
    theirs = seed.epochs(seed.SeedImages(table, side=None), seed.SeedStep(device))
    epochs = fit(ours, samples, samples, config=how)
    rates = [(next(epochs).images_per_s, next(theirs)) for _ in range(4)][1:]
    return row(
        "gpu_end_to_end_vs_seed",
        [one / other for one, other in rates],
        unit="x",
        device=where(),
        note="after the first epoch",
    )


def overhead_share(device: torch.device, *, epochs: int) -> Row:
    """Measure the share of the time that goes into checkpoints and tracking, on epochs as long as the demo's."""
    samples = Samples(*batch_of(DEMO, PARAMS.image_size, device))
    ours, how = state(device, images=DEMO, batch=PARAMS.batch_size, epochs=epochs)
    share = overhead(ours, samples, how, show_every=PARAMS.show_every)
    note = f"{epochs} epochs of {DEMO} images, one round"
    return row("overhead_share", [share], unit="of the time", device=where(), note=note)


if __name__ == "__main__":
    main()
