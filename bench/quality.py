"""Test mean IoU over seeds, beside constant boxes and the seed script: `python -m bench.quality bccd --epochs 200`.

For each seed the pipeline runs in a temporary clone of the commit, with the seed for split and training. Then the
script that this project grew from trains on the same side of the same split, as it is (seed.py), on the same pixels
for as long as our stage took, and its last network is judged on the same test side. A seed's row is added to
bench/results/quality.json as soon as it is there, and one that is there isn't made again. Run the same number of
threads (OMP_NUM_THREADS) to get the same figures; the script's also depend on how fast it was.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch.utils.data import Subset

from bench import kept, seed
from bench.kept import ROOT
from bench.works import where
from localizer.boxes import paired_iou
from localizer.config import load
from localizer.device import choose_device
from localizer.images.decoding import open_rgb, to_square
from localizer.tables import EDGES, read_table, true_boxes
from localizer.training.params import TrainParams


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", help="the name of a folder of data/")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    options = parser.parse_args()
    commit = kept.commit().removesuffix("-dirty")  # which is what is cloned
    for number in options.seeds:
        told = {"dataset": options.dataset, "epochs": options.epochs, "seed": number, "commit": commit}
        if kept.has("quality", told):
            continue
        with tempfile.TemporaryDirectory() as folder:
            measured = run(told, Path(folder))
        kept.add("quality", told | measured)
        print(told | measured, flush=True)
    show()


def run(told: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return what the pipeline and the script come to for one data set and seed."""
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder / "clone")], check=True)
    os.chdir(folder / "clone")
    try:
        changed = {"prepare.dataset": told["dataset"], "train.epochs": told["epochs"]}
        changed |= {"split.seed": told["seed"], "train.seed": told["seed"]}
        dvc("exp", "run", "-q", *(f"-S{name}={value}" for name, value in changed.items()), "split")
        started = time.perf_counter()
        dvc("repro", "-q", "train")
        train_s = time.perf_counter() - started
        dvc("repro", "-q")
        metrics = json.loads(Path("reports/evaluate/metrics.json").read_text(encoding="utf-8"))
        side = load("train", TrainParams).image_size
        images = read_table(Path("tables/split.csv"), numbers=["width", "height", *EDGES])
        torch.manual_seed(told["seed"])
        script_iou, epochs = script(images, side, train_s)
    finally:
        os.chdir(ROOT)
    scores = {name: metrics[name] for name in ("mean_iou", "mean_box_iou", "centre_box_iou", "images")}
    times = {"train_s": round(train_s), "script_epochs": epochs}
    return scores | {"script_iou": round(script_iou, 6)} | times | {"image_size": side, "device": where()}


def dvc(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *arguments], check=True)


def script(images: pd.DataFrame, side: int, seconds: float) -> tuple[float, int]:
    """Return the seed script's mean IoU on the test side after so much time of training, and its epochs."""
    images = images[images["split"].isin(["train", "test"])].reset_index(drop=True)
    train, test = (np.flatnonzero(images["split"] == name).tolist() for name in ("train", "test"))
    theirs, step = (
        seed.SeedImages(squares(images, side, Path("squares")), side=None),
        seed.SeedStep(choose_device("auto")),
    )
    ends, done = time.perf_counter() + seconds, 0
    for _ in seed.epochs(Subset(theirs, train), step):
        done += 1
        if time.perf_counter() >= ends:
            break
    pred = seed.predicted(theirs, step, test) / side
    return float(paired_iou(pred, true_boxes(images.iloc[test])).mean()), done


def squares(images: pd.DataFrame, side: int, folder: Path) -> Path:
    """Write the images as RGB squares, since the script resizes and converts none; return the table that it wants."""
    folder.mkdir()
    with (folder / "boxes.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "x", "y", "height", "width"])
        for number, (path, box) in enumerate(zip(images["path"], true_boxes(images) * side, strict=True)):
            square = folder / f"{number}.png"
            Image.fromarray(to_square(open_rgb(Path(path)), side)).save(square)
            writer.writerow([square, box[0], box[1], box[3] - box[1], box[2] - box[0]])
    return folder / "boxes.csv"


def show() -> None:
    """Print all rows as a Markdown table: the mean over the seeds, and the range of the differences seed by seed."""
    print("\n| data | seeds | ours | mean box | centred box | seed script | above the mean box | above the script |")
    print("|---|---|---|---|---|---|---|---|")
    for (dataset, epochs), group in pd.DataFrame(kept.rows("quality")).groupby(["dataset", "epochs"]):
        names = ["mean_iou", "mean_box_iou", "centre_box_iou", "script_iou"]
        scores = " | ".join(f"{group[name].mean():.3f}" for name in names)
        gains = " | ".join(spread(group["mean_iou"] - group[name]) for name in ("mean_box_iou", "script_iou"))
        print(f"| {dataset}, {epochs} epochs | {len(group)} | {scores} | {gains} |")


def spread(gain: "pd.Series[float]") -> str:
    return f"{gain.mean():+.3f} ({gain.min():+.3f} to {gain.max():+.3f})"


if __name__ == "__main__":
    main()
