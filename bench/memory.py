"""How much memory training takes as the data grows: `python -m bench.memory`, some 15 minutes on two cores.

Scenes of the demo are drawn, decoded into the cache on disk, and trained on for an epoch of ResNet-18 at 64 px, each
number of them in a process of its own. Told are the process's own memory at its highest (RssAnon: it can't be given
back) and the part of the mapped cache that the system holds besides, which it takes back when it needs it (RssFile).
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import torch

from bench import kept
from bench.kept import commit
from bench.works import PARAMS, where
from localizer.boxes import to_fractions
from localizer.datasets import synthetic
from localizer.device import choose_device
from localizer.images.pixel_cache import load_pixels
from localizer.model.localizer import Architecture, Localizer
from localizer.predictor import to_tensor
from localizer.tables import read_table
from localizer.training.loop import fit
from localizer.training.samples import Samples
from localizer.training.state import TrainState

SCENES = [10_000, 100_000]
VALIDATED = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scenes", type=int, nargs="+", default=SCENES)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one)))
        return
    rows = []
    for scenes in options.scenes:
        begun_at = commit()
        done = subprocess.run(
            [sys.executable, "-m", "bench.memory", "--one", str(scenes)], stdout=subprocess.PIPE, text=True, check=True
        )
        rows.append(json.loads(done.stdout.splitlines()[-1]) | {"commit": begun_at, "device": where()})
        print(rows[-1], flush=True)
    kept.write(kept.RESULTS / "memory.json", rows)


def measure(scenes: int) -> dict[str, float]:
    """Return what so many scenes take at the highest, in MiB."""
    with tempfile.TemporaryDirectory() as folder, Peak() as peak:
        synthetic.write_scenes(Path(folder), scenes=scenes, seed=0)
        train, validation = load_samples(Path(folder))
        device = choose_device("auto")
        how = replace(PARAMS.train_config(device), epochs=1)
        model = Localizer(Architecture(18)).to(device).to(memory_format=torch.channels_last)
        list(fit(TrainState(model, how, images=len(train)), train, validation, config=how))
    return {"scenes": scenes, "cache_mib": round(train.pixels.nbytes / 2**20), **peak.highest}


def load_samples(folder: Path) -> tuple[Samples, Samples]:
    table = read_table(folder / "annotations.csv", numbers=["xmin", "ymin", "xmax", "ymax", "width", "height"])
    paths = [folder / "images" / name for name in table["image"]]
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    pixels = to_tensor(load_pixels(paths, digests, 64, folder=folder / "decoded"))
    sizes = (table["width"].to_numpy(), table["height"].to_numpy())
    boxes = torch.from_numpy(to_fractions(table[["xmin", "ymin", "xmax", "ymax"]].to_numpy(), *sizes)).float()
    boxes = boxes.to(choose_device("auto"))
    return Samples(pixels[VALIDATED:], boxes[VALIDATED:]), Samples(pixels[:VALIDATED], boxes[:VALIDATED])


class Peak:
    """The highest memory of this process while it is open, looked at ten times a second."""

    def __init__(self) -> None:
        self.highest = {"RssAnon": 0, "RssFile": 0}
        self._stop = threading.Event()

    def __enter__(self) -> "Peak":
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()

    def _watch(self) -> None:
        while not self._stop.wait(0.1):
            for line in Path("/proc/self/status").read_text().splitlines():
                name, _, amount = line.partition(":")
                if name in self.highest:
                    self.highest[name] = max(self.highest[name], int(amount.split()[0]) // 1024)


if __name__ == "__main__":
    main()
