"""Trains ResNet-50 to put one box on an image, and keeps the weights with the best validation IoU."""

import json
import sys
from pathlib import Path
from typing import Annotated

import pandas as pd
import torch
from pydantic import Field

from localizer import config, predictor, tracking
from localizer.data.images import read_squares
from localizer.data.tables import EDGES, read_table, true_boxes, write_table
from localizer.device import Device, choose_device, describe
from localizer.model.augment import Augmentation
from localizer.model.localizer import Localizer
from localizer.model.losses import Distance, Overlap
from localizer.training.engine import Epoch, Recipe, Samples, fit

SPLIT = Path("tables/split.csv")
WEIGHTS = Path("models/localizer.safetensors")
HISTORY = Path("reports/train/history.csv")
METRICS = Path("reports/train/metrics.json")

Share = Annotated[float, Field(ge=0, lt=1)]


class TrainParams(config.Record):
    """`image_size` in pixels, `grid` of the head; the rest is said by `Recipe` and `Augmentation`."""

    device: Device
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    image_size: Annotated[int, Field(ge=32, le=1024)]
    grid: Annotated[int, Field(ge=1, le=32)]
    epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=2)]
    lr: Annotated[float, Field(gt=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0, lt=1)]
    warmup: Share
    distance: Distance
    distance_weight: Annotated[float, Field(ge=0)]
    overlap: Overlap
    flip: Annotated[float, Field(ge=0, le=1)]
    zoom: Share
    shift: Share
    colour: Share


def main() -> None:
    params = config.load("train", TrainParams)
    device = choose_device(params.device)
    with tracking.stage_run("train") as run:
        images = read_table(SPLIT, numbers=["width", "height", *EDGES])
        sides = [images[images["side"] == side] for side in ("train", "validation")]
        train, validation = (samples(side, params.image_size, device) for side in sides)
        print(f"train: {len(train)} images, {len(validation)} for validation, on {describe(device)}", flush=True)
        run.log_table(sides[0], name="train", context="training")
        model, best = keep_best(params, train, validation, run=run, device=device)
        label = ", ".join(sorted(set(images["label"])))
        predictor.save(
            WEIGHTS,
            model,
            image_size=params.image_size,
            grid=params.grid,
            label=label,
            best_epoch=best.epoch,
            val_iou=best.val_iou,
        )
        METRICS.write_text(
            json.dumps({"best_epoch": best.epoch, "val_iou": round(best.val_iou, 6)}, indent=2) + "\n", encoding="utf-8"
        )
        for path in (HISTORY, METRICS, WEIGHTS.with_suffix(".json")):
            run.log_artifact(path)
        run.log_metrics({"best_epoch": best.epoch, "best_val_iou": best.val_iou})
        run.log_model(model.cpu(), train.pixels[:2].cpu().contiguous())


def samples(images: pd.DataFrame, image_size: int, device: torch.device) -> Samples:
    """Return the images' pixels and boxes, decoded once and held on the device."""
    pixels = predictor.to_tensor(read_squares(map(Path, images["path"]), image_size))
    return Samples(pixels.to(device), torch.from_numpy(true_boxes(images)).float().to(device))


def keep_best(
    params: TrainParams, train: Samples, validation: Samples, *, run: tracking.Run, device: torch.device
) -> tuple[Localizer, Epoch]:
    """Train, record every epoch, and return the model as it was after the best one."""
    torch.manual_seed(params.seed)
    torch.use_deterministic_algorithms(device.type == "cpu")
    model = Localizer(grid=params.grid).to(device).to(memory_format=torch.channels_last)
    history: list[Epoch] = []
    best_iou = 0.0
    for epoch in fit(model, train, validation, recipe=recipe(params)):
        history.append(epoch)
        record(history, params.epochs, run=run)
        if epoch.val_iou >= best_iou:  # so the first epoch is kept at least
            best, best_iou = epoch, epoch.val_iou
            weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.load_state_dict(weights)
    return model, best


def record(history: list[Epoch], epochs: int, *, run: tracking.Run) -> None:
    """Send the last epoch to MLflow and to the history's file; speed, which differs each time, to MLflow alone."""
    last = history[-1]
    metrics = {"loss": last.loss, "val_iou": last.val_iou, "lr": last.lr}
    run.log_metrics({**metrics, "images_per_s": last.images_per_s}, step=last.epoch)
    write_table(pd.DataFrame(history).drop(columns="images_per_s").round(6), HISTORY)
    if not sys.stderr.isatty():  # where the progress bar is off
        speed = f"{last.images_per_s:.0f} images/s"
        print(
            f"epoch {last.epoch}/{epochs}: loss {last.loss:.3f}, validation IoU {last.val_iou:.3f}, {speed}", flush=True
        )


def recipe(params: TrainParams) -> Recipe:
    strengths = {name: getattr(params, name) for name in ("flip", "zoom", "shift", "colour")}
    rest = params.model_dump(exclude={*strengths, "device", "image_size", "grid"})
    return Recipe(**rest, augmentation=Augmentation(**strengths))


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"train: {error}")
