"""A step and an epoch of ours beside those of the peers, in turn, on a batch that lies ready."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from torch import Tensor

from bench import seed, turns
from bench.turns import Row, in_turn, ratios, row
from bench.works import PARAMS, Peer, batch_of, state, where
from localizer.device import set_deterministic
from localizer.training.loop import fit, train_step
from localizer.training.samples import Samples

FUSED_ROOF = {"H100": 3.35e12 / 346e6, "H200": 4.3e12 / 346e6}  # images/s at 224 px: bandwidth over bytes an image
ROOF_SIDE = 224
Pairs = dict[str, tuple[dict[str, Any], dict[str, Any]]]


def steps(
    device: torch.device, *, side: int, batch: int, rounds: int, prefix: str, suffix: str, repeat: int = 1
) -> list[Row]:
    """Compare one step of ours with the seed's, torchvision's and timm's."""
    images, boxes = batch_of(batch, side, device)
    plain = (images.float() / 255).contiguous()
    loop, how = seed.SeedStep(device), state(device, images=batch, bf16=device.type == "cuda")[1]
    peers = {
        "torchvision": Peer(torchvision.models.resnet50(num_classes=4), how, device),
        "timm": Peer(timm.create_model("resnet50", num_classes=4), how, device),
    }
    fast = plain.contiguous(memory_format=torch.channels_last)
    works: dict[str, Callable[[], object]] = {
        "seed": lambda: loop(plain, boxes),
        "ours": our_step(plain, boxes, bf16=how.bf16),  # on a CPU the same fp32 work as the seed's
        **{name: partial(peer, fast, boxes) for name, peer in peers.items()},
    }
    took = in_turn({name: partial(repeated, work, repeat) for name, work in works.items()}, device, rounds=rounds)
    note = noted(side, batch, repeat, took["ours"])
    rows = [
        row(f"{prefix}_step_vs_{name}{suffix}", ratios(took[name], took["ours"]), unit="x", device=where(), note=note)
        for name in took
        if name != "ours"
    ]
    return rows + roofline(device, side, batch, repeat, took["ours"], suffix=suffix)


def compiled_steps(device: torch.device, *, side: int, batch: int, rounds: int, suffix: str, repeat: int) -> list[Row]:
    """Compare one compiled step of ours with timm's, compiled too, and with ours as written."""
    images, boxes = batch_of(batch, side, device)
    plain = (images.float() / 255).contiguous()
    fast = plain.contiguous(memory_format=torch.channels_last)
    peer = Peer(timm.create_model("resnet50", num_classes=4), state(device, images=batch)[1], device)
    peer.network = torch.compile(peer.network)  # type: ignore[assignment]
    works: dict[str, Callable[[], object]] = {
        "plain": our_step(plain, boxes),
        "ours": our_step(plain, boxes, compile="on"),
        "timm": partial(peer, fast, boxes),
    }
    took = in_turn({name: partial(repeated, work, repeat) for name, work in works.items()}, device, rounds=rounds)
    note = noted(side, batch, repeat, took["ours"])
    names = {"timm": "gpu_step_vs_timm_compiled", "plain": "gpu_step_compiled_vs_plain"}
    rows = [
        row(f"{told}{suffix}", ratios(took[name], took["ours"]), unit="x", device=where(), note=note)
        for name, told in names.items()
    ]
    return rows + roofline(device, side, batch, repeat, took["ours"], suffix=f"_compiled{suffix}")


def choices(
    device: torch.device,
    *,
    side: int,
    batch: int,
    rounds: int,
    prefix: str,
    repeat: int = 1,
    pairs: Pairs,
) -> list[Row]:
    """Compare one step with and without each choice of the config: pairs of the slower's values and the faster's."""
    images, boxes = batch_of(batch, side, device)
    plain = (images.float() / 255).contiguous()
    works = {
        f"{name}{number}": partial(repeated, our_step(plain, boxes, **changed), repeat)
        for name, pair in pairs.items()
        for number, changed in enumerate(pair)
    }
    took = in_turn(works, device, rounds=rounds)
    note = f"{side} px, batch {batch}"
    return [
        row(f"{prefix}_step_{name}", ratios(took[f"{name}0"], took[f"{name}1"]), unit="x", device=where(), note=note)
        for name in pairs
    ]


def not_deterministic(device: torch.device, *, side: int, batch: int, rounds: int, repeat: int) -> Row:
    """Compare one step with kernels that are the fastest for their size with one whose kernels are deterministic."""
    images, boxes = batch_of(batch, side, device)
    plain = (images.float() / 255).contiguous()

    def work(step: Callable[[], object], *, deterministic: bool) -> None:
        set_deterministic(deterministic)
        repeated(step, repeat)

    works = {name: partial(work, our_step(plain, boxes), deterministic=not name) for name in ("fastest", "")}
    try:
        took = in_turn(works, device, rounds=rounds)
    finally:
        set_deterministic(PARAMS.deterministic)
    note = f"{side} px, batch {batch}"
    shares = ratios(took[""], took["fastest"])
    return row("gpu_step_not_deterministic_vs_plain", shares, unit="x", device=where(), note=note)


def our_step(images: Tensor, boxes: Tensor, **changed: Any) -> Callable[[], object]:
    """Return a step of a new network of ours on a batch."""
    ours, how = state(images.device, images=len(images), **changed)
    if how.compile == "on":
        ours.forward = torch.compile(ours.forward)
    return lambda: train_step(ours, images, boxes, config=how)


def repeated(work: Callable[[], object], times: int) -> None:
    for _ in range(times):
        work()


def noted(side: int, batch: int, repeat: int, took: list[float]) -> str:
    return f"{side} px, batch {batch}, {repeat * batch / min(took):.1f} images/s"


def roofline(device: torch.device, side: int, batch: int, repeat: int, took: list[float], *, suffix: str) -> list[Row]:
    """Return the row of our share of what the GPU's memory would allow; none on a CPU and at another size."""
    if device.type != "cuda" or side != ROOF_SIDE:
        return []
    roof = next((roof for card, roof in FUSED_ROOF.items() if card in where()), None)
    shares = [repeat * batch / time / roof for time in took] if roof else []
    note = noted(side, batch, repeat, took) if roof else f"the bandwidth of this card isn't in {Path(__file__).name}"
    return [row(f"gpu_roofline_share{suffix}", shares, unit="of the fused roofline", device=where(), note=note)]


def whole_epoch(device: torch.device, *, side: int, images: int, rounds: int, suffix: str, batch: int = 8) -> Row:
    """Compare an epoch's images a second, warm, with those of the same steps on a batch that lies ready."""
    samples = Samples(*batch_of(images, side, device))
    ours, how = state(device, images=images, batch=batch, epochs=rounds + 1)
    pixels, boxes = batch_of(batch, side, device)
    ready = pixels.float() / 255
    bare, _ = state(device, images=images, batch=batch)
    epochs = fit(ours, samples, Samples(pixels[:1], boxes[:1]), config=how)
    shares, rates = [], []
    for _ in range(rounds + 1):
        rates.append(next(epochs).images_per_s)
        took = turns.seconds(
            lambda: [train_step(bare, ready, boxes, config=how) for _ in range(images // batch)], device
        )
        shares.append(rates[-1] * took / images)
    note = f"{side} px, batch {batch}, {max(rates[1:]):.1f} images/s"
    return row(f"epoch_vs_compute{suffix}", shares[1:], unit="of the bare rate", device=where(), note=note)


def executions(device: torch.device, *, side: int, images: int, rounds: int, batch: int, suffix: str) -> Row:
    """Compare warm epochs whose small steps are one CUDA graph with those of steps as written."""
    samples = Samples(*batch_of(images, side, device))
    few, epochs = Samples(samples.pixels[:1], samples.boxes[:1]), {}
    for mode in ("off", "auto"):
        ours, how = state(device, images=images, batch=batch, epochs=rounds + 1, compile=mode)
        epochs[mode] = fit(ours, samples, few, config=how)
    rates = [tuple(next(epochs[mode]).images_per_s for mode in ("auto", "off")) for _ in range(rounds + 1)][1:]
    note = f"{side} px, batch {batch}, {max(rates)[0]:.0f} images/s"
    shares = [auto / off for auto, off in rates]
    return row(f"gpu_epoch_auto_vs_off{suffix}", shares, unit="x", device=where(), note=note)
