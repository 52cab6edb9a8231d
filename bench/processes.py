"""How an epoch's time falls with the number of processes: `python -m bench.processes`, beside plain DDP.

Ours is the loop of training as the stage runs it, with augmentation; plain is torchvision's resnet50 under
DistributedDataParallel, on batches that lie ready, with our loss, optimiser, precision and memory format. Both go
through the same images in the same batches, and both are started by torchrun, as one process of one thread, one of two
and two of one, in turn. Counted is the last of the epochs: the first makes DDP's buckets. Each ratio is a quotient of
rates within a round. Images of two sizes are tried: the gradients that the processes exchange in each step are 94 MB
whatever the size, so that small images show their cost and larger ones the gain.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import torch
import torchvision

from bench import kept, turns
from bench.turns import Row, ratios, row
from bench.works import Peer, batch_of, state, where
from localizer.device import choose_device
from localizer.training.distributed import Ranks, local_device, process_group
from localizer.training.launch import SETTINGS
from localizer.training.loop import fit
from localizer.training.samples import Samples

BATCH, EPOCHS = 32, 2
BATCHES = {64: 12, 128: 4}  # by the images' side in pixels
STARTS = {"1 process, 1 thread": (1, 1), "1 process, 2 threads": (1, 2), "2 processes, 1 thread each": (2, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one round, of small images only")
    parser.add_argument("--json", type=Path, help="where the rows go; bench/results/processes_DEVICE.json without it")
    parser.add_argument("--rank", nargs=3, metavar=("WHAT", "SIDE", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rank:
        what, side, file = options.rank
        one_rank(what, int(side), Path(file))
        return
    rows = measure(64, rounds=1) if options.quick else [row for side in BATCHES for row in measure(side, rounds=3)]
    turns.show(rows)
    kept.write(
        options.json or kept.RESULTS / f"processes_{choose_device('auto').type}.json", [asdict(one) for one in rows]
    )


def measure(side: int, *, rounds: int) -> list[Row]:
    """Return how many times as fast each start is as one process of one thread, and ours beside the plain one."""
    rates: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds):
        for start, (processes, threads) in STARTS.items():
            for what in WORKS:
                rate = started(what, side, processes=processes, threads=threads)
                rates.setdefault((what, start), []).append(rate)
                print(f"{what}, {side} px, {start}: {rate:.1f} images/s", flush=True)
    one, *more = STARTS
    note = f"batches of {BATCH}, epochs of {BATCHES[side]}"
    rows = []
    for start in more:
        for what in WORKS:
            values = ratios(rates[what, start], rates[what, one])
            rows.append(row(f"{what}, {side} px: {start}", values, unit="x the rate of one", device=where(), note=note))
    for start in STARTS:
        values = ratios(rates["ours", start], rates["plain", start])
        rows.append(row(f"ours vs plain, {side} px: {start}", values, unit="x its rate", device=where(), note=note))
    return rows


def started(what: str, side: int, *, processes: int, threads: int) -> float:
    """Return the images/s of a start by torchrun."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "rate")
        command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}"]
        command += ["-m", "bench.processes", "--rank", what, str(side), str(file)]
        subprocess.run(command, env=os.environ | SETTINGS | {"OMP_NUM_THREADS": str(threads)}, check=True)
        return float(file.read_text())


def one_rank(what: str, side: int, file: Path) -> None:
    """Go through the epochs with the other ranks; the first one writes the rate of the last epoch."""
    device = local_device(choose_device("auto"))
    with process_group(device) as ranks:
        rate = WORKS[what](side, ranks, device)
        if ranks.is_main:
            file.write_text(str(rate))


def ours(side: int, ranks: Ranks, device: torch.device) -> float:
    images = BATCHES[side] * BATCH
    made, how = state(device, images=images, batch=BATCH, epochs=EPOCHS, ranks=ranks)
    pixels, boxes = batch_of(images, side, device)
    samples = Samples(pixels, boxes)
    *_, last = fit(made, samples, Samples(pixels[:BATCH], boxes[:BATCH]), config=how)
    return last.images_per_s


def plain(side: int, ranks: Ranks, device: torch.device) -> float:
    images = BATCHES[side] * BATCH
    _, how = state(device, images=images, batch=BATCH)
    peer = Peer(torchvision.models.resnet50(num_classes=4), how, device)
    peer.network = torch.nn.parallel.DistributedDataParallel(peer.network, process_group=ranks.group)
    pixels, boxes = batch_of(images, side, device)
    ready = (pixels.float() / 255).contiguous(memory_format=torch.channels_last)
    batches = [ranks.shard(rows) for rows in torch.arange(images).split(BATCH)]
    for _ in range(EPOCHS):
        began = time.perf_counter()
        for rows in batches:
            peer(ready[rows], boxes[rows])
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        took_s = time.perf_counter() - began
    return images / took_s


WORKS = {"ours": ours, "plain": plain}

if __name__ == "__main__":
    main()
