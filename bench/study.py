"""What each choice of the config is worth, by cross-validation: `python -m bench.study bccd --threads 1`.

For each variant, params.yaml with a few values changed, and each fold, a network is trained on the other folds and
evaluated on this one by the last epoch's mean IoU; the table compares a variant with the base on the pairs of fold and
seed that both have. The folds are made of the train and validation splits of the set, clusters of copies whole; the
test and the calibration split are never read. The images and the split are made in a temporary clone of the commit. A
row is added to bench/results/study.json as soon as it is there, and one that is there isn't made again, so that the
study can be stopped at any time.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
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
VARIANTS: dict[str, dict[str, Any]] = {
    "as shipped": {},
    "half the rate": {"lr": 0.001},
    "twice the rate": {"lr": 0.004},
    "weight decay 0.2": {"weight_decay": 0.2},
    "weight decay 0.01": {"weight_decay": 0.01},
    "batch 16": {"batch_size": 16},
    "CIoU": {"iou_loss": "ciou"},
    "smooth L1": {"box_loss": "smooth_l1"},
    "box loss weighs 1": {"box_loss_weight": 1.0},
    "averaged weights": {"ema_decay": 0.98},
    "more scale and translation": {"augment": {"scale": 0.4, "translate": 0.2}},
    "no scale, no translation": {"augment": {"scale": 0.0, "translate": 0.0}},
    "no flip": {"augment": {"horizontal_flip": 0.0}},
    "ResNet-18": {"depth": 18},
    "ResNet-34": {"depth": 34},
    "96 px": {"image_size": 96},
    "128 px": {"image_size": 128},
}
# To screen in a third of the time:
SMALL = {name: values | {"depth": 18} for name, values in VARIANTS.items() if values and "depth" not in values}
VARIANTS |= {f"ResNet-18, {name}": values for name, values in SMALL.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", help="the name of a folder of data/")
    parser.add_argument("--steps", type=int, default=600, help="of each training, at least")
    parser.add_argument("--images", type=int, default=0, help="train on so many of the images; 0: all")
    parser.add_argument("--folds", type=int, default=2, help=f"how many of the {FOLDS} are validated")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of training; the folds are the same")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=[*VARIANTS])
    parser.add_argument("--base", choices=VARIANTS, default="as shipped", help="what the table compares with")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    commit = kept.commit()  # whose code this process has loaded: a row may be written commits later
    base = config.load("train", TrainParams, path=ROOT / "params.yaml").model_copy(
        update={"epochs": 1, "min_steps": options.steps}
    )
    with tempfile.TemporaryDirectory() as folder:
        images = split(options.dataset, Path(folder))
        for seed, fold, name in product(options.seeds, range(options.folds), options.only):
            params = changed(base, VARIANTS[name] | {"seed": seed})
            row = {"dataset": options.dataset, "variant": name, "fold": fold, "cut": options.images}
            study(row, images, params, cache=Path(folder) / "decoded", commit=commit)
    show(options.dataset, options.base, min_steps=options.steps, cut=options.images)


def changed(params: TrainParams, values: dict[str, Any]) -> TrainParams:
    """Return the params with other values; those of `augment` are set one by one."""
    augment = params.augment.model_copy(update=values.get("augment", {}))
    return params.model_copy(update=values | {"augment": augment})


def split(dataset: str, folder: Path, *, sides: Sequence[str] = ("train", "validation")) -> pd.DataFrame:
    """Return the rows of sides of a set's split, whose images lie in the folder, the working one from now on."""
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder / "clone")], check=True)
    os.chdir(folder / "clone")
    params = Path("params.yaml")
    params.write_text(params.read_text(encoding="utf-8").replace("dataset: demo", f"dataset: {dataset}"))
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q", "split"], check=True)
    images = read_table(Path("tables/split.csv"), numbers=["width", "height", *EDGES])
    return images[images["split"].isin(sides)]


def study(row: dict[str, Any], images: pd.DataFrame, params: TrainParams, *, cache: Path, commit: str) -> None:
    """Train the row's variant without its fold, evaluate it there, and add the row, if it isn't there yet."""
    device, fold = choose_device(params.device), row["fold"]
    told = row | {"params": params.model_dump(), "device": device.type}
    if kept.has("study", told):
        return
    held = images["cluster"].map(lambda cluster: int(hashlib.sha256(cluster.encode()).hexdigest(), 16) % FOLDS == fold)
    learn = images[~held]
    learn = learn.sample(row["cut"], random_state=100 * fold + params.seed) if row["cut"] else learn
    train, validation = (load_samples(side, params.image_size, device, cache) for side in (learn, images[held]))
    torch.manual_seed(params.seed)
    model = Localizer(params.architecture)
    load_pretrained(model, params.weights)
    how = params.for_images(len(train)).train_config(device)
    state = TrainState(model.to(device).to(memory_format=torch.channels_last), how, images=len(train))
    started, cpu = time.perf_counter(), time.process_time()
    history = list(fit(state, train, validation, config=how))
    measured = {
        "iou": round(history[-1].val_iou, 4),
        "best_iou": round(max(epoch.val_iou for epoch in history), 4),
        "images": len(validation),
        "seconds": round(time.perf_counter() - started),
        "cpu_s": round(time.process_time() - cpu),
        "where": describe(device),
    }
    kept.add("study", told | measured | {"commit": commit})
    print(f"{row}: {measured['iou']:.3f}", flush=True)


def show(dataset: str, base: str, *, epochs: int = 1, min_steps: int = 0, cut: int = 0) -> None:
    """Print, as a Markdown table, how much better each variant is than the base, and its mean IoU by fold."""
    asked = {"dataset": dataset, "epochs": epochs, "min_steps": min_steps, "cut": cut}
    flat = [{"min_steps": 0, "cut": 0} | row["params"] | row for row in kept.rows("study")]
    table = pd.DataFrame([row for row in flat if asked.items() <= row.items()])
    by_fold = table.pivot_table(index="variant", columns="fold", values="iou")
    length = f"{min_steps} steps" if min_steps else f"{epochs} epochs"
    length += f", {cut} images" if cut else ""
    print(f"\n| {dataset}, {length} | gain over {base} | by image | pairs | mean IoU by fold |")
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
