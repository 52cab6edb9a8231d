"""What each choice of the config is worth, by cross-validation: `python -m bench.study bccd --threads 1`.

For each variant, the plain config with a few values changed, and each fold, a network is trained on the other folds
and judged on this one by the last epoch's mean IoU; the table compares a variant with the base on the pairs of fold
and seed that both have. The plain config is what the study began with, and stays as it is when params.yaml takes up
what won. The folds are made of the train and validation sides of the set's split, clusters of copies whole; the test
and the calibration side are never read. The images and the split are made in a temporary clone of the commit. A row is
added to bench/results/study.json as soon as it is there, and one that is there isn't made again, so that the study can
be stopped at any time.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from bench import kept
from bench.kept import ROOT
from localizer import config
from localizer.device import choose_device, describe
from localizer.model.localizer import Localizer
from localizer.model.weights import load_pretrained
from localizer.tables import EDGES, read_table
from localizer.training.loop import fit
from localizer.training.params import TrainParams
from localizer.training.samples import load_samples
from localizer.training.state import TrainState

FOLDS = 5
PLAIN: dict[str, Any] = {
    "head": "grid",
    "grid": 2,
    "lr": 0.001,
    "batch_size": 32,
    "image_size": 64,
    "clip": 0.0,
    "precision": "fp32",
}
HEAT_BF16: dict[str, Any] = {"head": "heatmap", "precision": "bf16"}
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "head: pooled": {"grid": 1},
    "head: grid 4": {"grid": 4},
    "head: heat map": {"head": "heatmap"},
    "averaged weights": {"ema_decay": 0.98},
    "more zoom and shift": {"augment": {"scale": 0.4, "translate": 0.2}},
    "no zoom, no shift": {"augment": {"scale": 0.0, "translate": 0.0}},
    "turned by up to 10 degrees": {"augment": {"rotation": 10.0}},
    "more colour": {"augment": {"color_jitter": 0.4}},
    "no flip": {"augment": {"horizontal_flip": 0.0}},
    "half the rate": {"lr": 0.0005},
    "twice the rate": {"lr": 0.002},
    "batch 16": {"batch_size": 16},
    "clipped at 1": {"clip": 1.0},
    "CIoU": {"iou_loss": "ciou"},
    "smooth L1": {"box_loss": "smooth_l1"},
    "L1 weighs 1": {"box_loss_weight": 1.0},
    "ResNet-18": {"depth": 18},
    "ResNet-34": {"depth": 34},
    "96 px": {"image_size": 96},
    "heat map, batch 16": {"head": "heatmap", "batch_size": 16},
    "bf16": {"precision": "bf16"},
    "heat map, bf16": HEAT_BF16,
    "heat map, bf16, clipped at 1": HEAT_BF16 | {"clip": 1.0},
    "heat map, bf16, more zoom and shift": HEAT_BF16 | {"augment": {"scale": 0.4, "translate": 0.2}},
    "heat map, bf16, twice the rate": HEAT_BF16 | {"lr": 0.002},
    "heat map, bf16, twice the rate, clipped at 1": HEAT_BF16 | {"lr": 0.002, "clip": 1.0},
    "heat map, bf16, 4 times the rate, clipped at 1": HEAT_BF16 | {"lr": 0.004, "clip": 1.0},
    "heat map, bf16, twice the rate, clipped at 1, 96 px": HEAT_BF16 | {"lr": 0.002, "clip": 1.0, "image_size": 96},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", help="the name of a folder of data/")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--folds", type=int, default=2, help=f"how many of the {FOLDS} are validated")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of training; the folds are the same")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=[*VARIANTS])
    parser.add_argument("--base", choices=VARIANTS, default="plain", help="what the table compares with")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    commit = kept.commit()  # whose code this process has loaded: a row may be written commits later
    base = config.load("train", TrainParams, path=ROOT / "params.yaml").model_copy(
        update=PLAIN | {"epochs": options.epochs}
    )
    with tempfile.TemporaryDirectory() as folder:
        images = split(options.dataset, Path(folder))
        for seed, fold, name in product(options.seeds, range(options.folds), options.only):
            params = changed(base, VARIANTS[name] | {"seed": seed})
            study(options.dataset, name, fold, images, params, cache=Path(folder) / "decoded", commit=commit)
    show(options.dataset, options.epochs, options.base)


def changed(params: TrainParams, values: dict[str, Any]) -> TrainParams:
    """Return the params with other values; those of `augment` are set one by one."""
    augment = params.augment.model_copy(update=values.get("augment", {}))
    return params.model_copy(update=values | {"augment": augment})


def split(dataset: str, folder: Path) -> pd.DataFrame:
    """Return the rows of a set's train and validation sides, whose images lie in the folder from now on."""
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder / "clone")], check=True)
    os.chdir(folder / "clone")
    params = Path("params.yaml")
    params.write_text(params.read_text(encoding="utf-8").replace("dataset: demo", f"dataset: {dataset}"))
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q", "split"], check=True)
    images = read_table(Path("tables/split.csv"), numbers=["width", "height", *EDGES])
    return images[images["split"].isin(["train", "validation"])]


def study(
    dataset: str, name: str, fold: int, images: pd.DataFrame, params: TrainParams, *, cache: Path, commit: str
) -> None:
    """Train one variant without one fold, judge it there, and add the row, if it isn't there yet."""
    device = choose_device(params.device)
    told = {"dataset": dataset, "variant": name, "fold": fold, "params": params.model_dump(), "device": device.type}
    if kept.has("study", told):
        return
    held = images["cluster"].map(lambda cluster: int(hashlib.sha256(cluster.encode()).hexdigest(), 16) % FOLDS == fold)
    train, validation = (load_samples(side, params.image_size, device, cache) for side in (images[~held], images[held]))
    torch.manual_seed(params.seed)
    model = Localizer(params.architecture)
    load_pretrained(model, params.weights)
    how = params.train_config(device)
    state = TrainState(model.to(device).to(memory_format=torch.channels_last), how, images=len(train))
    started = time.perf_counter()
    history = list(fit(state, train, validation, config=how))
    measured = {
        "iou": round(history[-1].val_iou, 4),
        "best_iou": round(max(epoch.val_iou for epoch in history), 4),
        "images": len(validation),
        "seconds": round(time.perf_counter() - started),
        "where": describe(device),
    }
    kept.add("study", told | measured | {"commit": commit})
    print(f"{dataset}, fold {fold}, {name}: {measured['iou']:.3f}", flush=True)


def show(dataset: str, epochs: int, base: str) -> None:
    """Print, as a Markdown table, how much better each variant is than the base, and its mean IoU by fold."""
    chosen = [row for row in kept.rows("study") if row["dataset"] == dataset and row["params"]["epochs"] == epochs]
    table = pd.DataFrame([row | {"seed": row["params"]["seed"]} for row in chosen])
    by_fold = table.pivot_table(index="variant", columns="fold", values="iou")
    print(f"\n| {dataset}, {epochs} epochs | gain over {base} | by image | pairs | mean IoU by fold |")
    print("|---|---|---|---|---|")
    found = gains(table, base)
    for name, row in ((str(name), row) for name, row in found.iterrows()):
        error = f" ± {row['error']:.3f}" if row["pairs"] > 1 and name != base else ""
        pairs = f"{row['pairs']:.0f}" + ("" if row["complete"] else f" of {found['pairs'].max():.0f}")
        folds = ", ".join(f"{value:.3f}" for value in by_fold.loc[name].dropna())
        print(f"| {name} | {row['gain']:+.3f}{error} | {row['pooled']:+.3f} | {pairs} | {folds} |")


def gains(rows: pd.DataFrame, base: str) -> pd.DataFrame:
    """Return each variant's gain over the base on the pairs of fold and seed that both have, by variant.

    gain, error: mean over the pairs and its standard error, NaN for one pair; pooled: mean weighted by the images of a
    fold; complete: whether it has all pairs of the base. Complete ones come first, then the best. A variant without a
    pair in common is left out.
    """
    iou = rows.pivot_table(index=["fold", "seed"], columns="variant", values="iou")
    gain = iou.sub(iou[base], axis="index")[iou[base].notna()]
    images = rows.groupby(["fold", "seed"])["images"].first()[gain.index]
    weights = gain.notna().mul(images, axis="index")
    found = pd.DataFrame({"gain": gain.mean(), "error": gain.sem(), "pairs": gain.count()})
    found["pooled"] = (gain * weights).sum() / weights.sum()
    found["complete"] = found["pairs"] == len(gain)
    return found[found["pairs"] > 0].sort_values(["complete", "gain"], ascending=False)


if __name__ == "__main__":
    main()
