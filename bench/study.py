"""What each choice of the recipe is worth, by cross-validation: `python bench/study.py bccd --threads 1`.

For each variant, the recipe of params.yaml with a few values changed, and each fold, a network is trained on the
other folds and judged on this one by the last epoch's mean IoU. The folds are made of the train and validation sides
of the set's split, clusters of copies whole; the test and the calibration side are never read. The images and the
split are made in a temporary clone of the commit. A row is added to bench/results/study.json as soon as it is there,
and one that is there isn't made again, so that the study can be stopped at any time.
"""

import argparse
import hashlib
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

from localizer import config
from localizer.data.tables import EDGES, read_table
from localizer.device import choose_device, describe
from localizer.files import replace_text
from localizer.model.localizer import Architecture, Localizer
from localizer.model.weights import start_from
from localizer.training.engine import fit
from localizer.training.state import State
from stages.train import TrainParams, recipe, samples

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results" / "study.json"
FOLDS = 5
VARIANTS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "head: pooled": {"grid": 1},
    "head: grid 4": {"grid": 4},
    "head: coordinates": {"head": "coordinates"},
    "head: heat map": {"head": "heatmap"},
    "averaged weights": {"average": 0.98},
    "more zoom and shift": {"zoom": 0.4, "shift": 0.2},
    "no zoom, no shift": {"zoom": 0.0, "shift": 0.0},
    "turned by up to 10 degrees": {"turn": 10.0},
    "more colour": {"colour": 0.4},
    "no flip": {"flip": 0.0},
    "half the rate": {"lr": 0.0005},
    "twice the rate": {"lr": 0.002},
    "batch 16": {"batch_size": 16},
    "clipped at 1": {"clip": 1.0},
    "CIoU": {"overlap": "ciou"},
    "smooth L1": {"distance": "smooth_l1"},
    "L1 weighs 1": {"distance_weight": 1.0},
    "ResNet-18": {"depth": 18},
    "ResNet-34": {"depth": 34},
    "96 px": {"image_size": 96},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", help="the name of a folder of data/")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--folds", type=int, default=2, help=f"how many of the {FOLDS} are validated")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=[*VARIANTS])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    base = config.load("train", TrainParams, path=ROOT / "params.yaml").model_copy(update={"epochs": options.epochs})
    with tempfile.TemporaryDirectory() as folder:
        images = split(options.dataset, Path(folder))
        for fold in range(options.folds):
            for name in options.only:
                params = base.model_copy(update=VARIANTS[name])
                study(options.dataset, name, fold, images, params, cache=Path(folder) / "decoded")
    show(options.dataset, options.epochs)


def split(dataset: str, folder: Path) -> pd.DataFrame:
    """Return the rows of a set's train and validation sides, whose images lie in the folder from now on."""
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder / "clone")], check=True)
    os.chdir(folder / "clone")
    params = Path("params.yaml")
    params.write_text(params.read_text(encoding="utf-8").replace("dataset: demo", f"dataset: {dataset}"))
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q", "split"], check=True)
    images = read_table(Path("tables/split.csv"), numbers=["width", "height", *EDGES])
    return images[images["side"].isin(["train", "validation"])]


def study(dataset: str, name: str, fold: int, images: pd.DataFrame, params: TrainParams, *, cache: Path) -> None:
    """Train one variant without one fold, judge it there, and add the row, if it isn't there yet."""
    device = choose_device(params.device)
    told = {"dataset": dataset, "variant": name, "fold": fold, "params": params.model_dump(), "device": device.type}
    rows = known()
    if any(told.items() <= row.items() for row in rows):
        return
    held = images["cluster"].map(lambda cluster: int(hashlib.sha256(cluster.encode()).hexdigest(), 16) % FOLDS == fold)
    train, validation = (samples(side, params.image_size, device, cache) for side in (images[~held], images[held]))
    torch.manual_seed(params.seed)
    model = Localizer(Architecture(params.depth, params.head, params.grid))
    start_from(model, params.weights)
    how = recipe(params, device)
    state = State(model.to(device).to(memory_format=torch.channels_last), how, images=len(train))
    started = time.perf_counter()
    history = list(fit(state, train, validation, recipe=how))
    measured = {
        "iou": round(history[-1].val_iou, 4),
        "best_iou": round(max(epoch.val_iou for epoch in history), 4),
        "images": len(validation),
        "seconds": round(time.perf_counter() - started),
        "where": describe(device),
        "commit": commit(),
    }
    replace_text(RESULTS, json.dumps([*known(), told | measured], indent=1) + "\n")
    print(f"{dataset}, fold {fold}, {name}: {measured['iou']:.3f}", flush=True)


def known() -> list[dict[str, Any]]:
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []


def show(dataset: str, epochs: int) -> None:
    """Print each variant's mean IoU over its folds, and how much better it is, fold by fold, than the recipe as is."""
    rows = [row for row in known() if row["dataset"] == dataset and row["params"]["epochs"] == epochs]
    table = pd.DataFrame(rows).pivot_table(index="variant", columns="fold", values="iou")
    gain = table.sub(table.loc["as it is"], axis="columns")
    print(f"\n{'variant':30} {'IoU':>6} {'gain':>7}   by fold")
    for name in gain.mean(axis=1).sort_values(ascending=False).index:
        by_fold = ", ".join(f"{value:+.3f}" for value in gain.loc[name])
        print(f"{name:30} {np.nanmean(table.loc[name]):6.3f} {np.nanmean(gain.loc[name]):+7.3f}   {by_fold}")


def commit() -> str:
    told = subprocess.run(
        ["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    )
    return told.stdout.strip()


if __name__ == "__main__":
    main()
