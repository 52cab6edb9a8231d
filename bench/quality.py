"""Test mean IoU, beside constant boxes and peers in as many seconds: `python -m bench.quality bccd`.

For each seed the pipeline runs in a temporary clone of the commit, with the seed for split and training; with
`--folds 5` for each fold of one split. Then, unless `--alone`, the peers of peers.py, FCOS from scratch and the script
that this project grew from, train on the same side of the same split, on the same pixels, for the CPU seconds that our
stage took, and are judged on the same test side. A row is added to bench/results/quality.json as soon as it is there,
and one that is there isn't made again, unless it lacks the peers that are now asked for. Run the same number of threads
(OMP_NUM_THREADS) to get our figures again; the peers' also depend on how fast the machine was.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from bench import kept, peers
from bench.kept import ROOT
from bench.works import where
from localizer.boxes import Array, paired_iou
from localizer.config import load
from localizer.device import choose_device
from localizer.tables import EDGES, read_table, true_boxes
from localizer.training.params import TrainParams
from localizer.training.samples import load_samples

COLUMNS = ("dataset", "epochs", "folds", "commit", "images", "mean_iou", "above_fcos_error")
PEERS = {"fcos_iou": "FCOS", "script_iou": "seed script", "mean_box_iou": "mean box"}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", help="the name of a folder of data/")
    parser.add_argument("--epochs", type=int, default=0, help="in place of epochs and min_steps of params.yaml")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--folds", type=int, default=0, help="test each image once, in this many folds, with each seed")
    parser.add_argument("--alone", action="store_true", help="ours and the mean box only: a third of the time")
    options = parser.parse_args()
    commit = kept.commit().removesuffix("-dirty")  # which is what is cloned
    for number in options.seeds:
        for fold in range(max(1, options.folds)):
            told = {"dataset": options.dataset, "epochs": options.epochs, "folds": options.folds, "fold": fold}
            told |= {"seed": number, "commit": commit}
            if kept.has("quality", told) and (options.alone or "fcos_iou" in kept_row(told)):
                continue
            with tempfile.TemporaryDirectory() as folder:
                measured = run(told, Path(folder), with_peers=not options.alone)
            others = [row for row in kept.rows("quality") if not told.items() <= row.items()]
            kept.write(kept.RESULTS / "quality.json", [*others, told | measured])  # in place of ours alone
            print(told | measured, flush=True)
    show()


def kept_row(told: dict[str, Any]) -> dict[str, Any]:
    """Return the row that is kept for a data set, fold, seed and commit."""
    return next(row for row in kept.rows("quality") if told.items() <= row.items())


def run(told: dict[str, Any], folder: Path, *, with_peers: bool) -> dict[str, Any]:
    """Return what the pipeline and the peers come to for one data set, fold and seed."""
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder / "clone")], check=True)
    os.chdir(folder / "clone")
    try:
        changed = {"prepare.dataset": told["dataset"], "train.seed": told["seed"]}
        changed |= {"train.epochs": told["epochs"], "train.min_steps": 0} if told["epochs"] else {}
        changed |= {f"split.{name}": told[name] for name in ("seed", "folds", "fold")}
        dvc("exp", "run", "-q", *(f"-S{name}={value}" for name, value in changed.items()), "split")
        started, started_cpu = time.perf_counter(), cpu_seconds()
        dvc("repro", "-q", "train")
        times = {"train_s": time.perf_counter() - started, "train_cpu_s": cpu_seconds() - started_cpu}
        dvc("repro", "-q")
        peers_too = peers_scores(times) if with_peers else {"device": where()}
        return scores() | peers_too | {name: round(value) for name, value in times.items()}
    finally:
        os.chdir(ROOT)


def scores() -> dict[str, Any]:
    """Return what the pipeline has measured on the test side."""
    metrics = json.loads(Path("reports/evaluate/metrics.json").read_text(encoding="utf-8"))
    return {name: metrics[name] for name in ("mean_iou", "iou_75", "mean_box_iou", "centre_box_iou", "images")}


def peers_scores(times: dict[str, float]) -> dict[str, Any]:
    """Return what the peers come to on the test side in the time that ours took."""
    params = load("train", TrainParams)
    device, side = choose_device(params.device), params.image_size
    seconds = times["train_cpu_s" if device.type == "cpu" else "train_s"]
    images = read_table(Path("tables/split.csv"), numbers=["width", "height", *EDGES])
    sides = (images[images["split"] == name] for name in ("train", "test"))
    train, test = (load_samples(rows, side, device, Path("decoded")) for rows in sides)
    boxes, steps = peers.fcos(train, test, params, seconds=seconds)
    fcos = ious(boxes, images)
    gain = ours(images) - fcos
    found = {
        "fcos_iou": fcos.mean(),
        "fcos_iou_75": (fcos >= 0.75).mean(),
        "above_fcos_error": gain.std() / len(gain) ** 0.5,
    }
    torch.manual_seed(params.seed)
    boxes, epochs = peers.script(images, side, seconds)
    found["script_iou"] = ious(boxes, images).mean()
    told = {"fcos_steps": steps, "script_epochs": epochs, "image_size": side, "device": where()}
    return {name: round(float(value), 6) for name, value in found.items()} | told


def ours(images: pd.DataFrame) -> Array:
    """Return the pipeline's IoU [N] of the test images, in the order of the split."""
    pred = read_table(Path("reports/evaluate/predictions.csv"), numbers=["iou"]).set_index("image")["iou"]
    return pred.loc[images.loc[images["split"] == "test", "image"]].to_numpy()


def ious(boxes: Array, images: pd.DataFrame) -> Array:
    return paired_iou(boxes, true_boxes(images[images["split"] == "test"]))


def cpu_seconds() -> float:
    """Return the CPU seconds of all processes that this one has started and waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def dvc(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *arguments], check=True)


def show() -> None:
    """Print all rows as a Markdown table: the mean over seeds, or over the images of all folds, and what ours gains."""
    names = [*PEERS.values()]
    columns = ["data", "commit", "runs", "ours", *names, *(f"gain over {name}" for name in names)]
    print(f"\n| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    rows = pd.DataFrame(kept.rows("quality")).reindex(columns=[*COLUMNS, *PEERS]).fillna({"folds": 0})
    for (dataset, epochs, folds, commit), group in rows.groupby(["dataset", "epochs", "folds", "commit"]):
        weights = group["images"] if folds else group["images"] * 0 + 1
        scores = [average(group[name], weights) for name in ("mean_iou", *PEERS)]
        gains = [spread(group["mean_iou"] - group[name], weights) for name in PEERS]
        if group["above_fcos_error"].notna().all():
            error = float((group["above_fcos_error"] * weights).pow(2).sum() ** 0.5 / weights.sum())
            gains[0] += f", standard error {error:.3f}"
        data = f"{dataset}{f', {epochs} epochs' if epochs else ''}{f', {folds:.0f} folds' if folds else ''}"
        print(f"| {' | '.join([data, str(commit), str(len(group)), *scores, *gains])} |")


def average(values: "pd.Series[float]", weights: "pd.Series[float]") -> str:
    return "" if values.isna().any() else f"{np.average(values, weights=weights):.3f}"


def spread(gain: "pd.Series[float]", weights: "pd.Series[float]") -> str:
    if gain.isna().any():
        return ""
    return f"{np.average(gain, weights=weights):+.3f} ({gain.min():+.3f} to {gain.max():+.3f})"


if __name__ == "__main__":
    main()
