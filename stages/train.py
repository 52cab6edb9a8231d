"""Trains ResNet to put one box on an image, and keeps the weights with the best validation IoU."""

import json
import signal
import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self

import pandas as pd
import torch
from pydantic import Field, model_validator
from tqdm import tqdm

from localizer import config, predictor, tracking
from localizer.boxes import as_pixels
from localizer.calibration import Calibration, calibrate
from localizer.data.decoded import decoded
from localizer.data.tables import EDGES, read_table, true_boxes, write_table
from localizer.device import (
    Device,
    Precision,
    choose_device,
    describe,
    fits,
    set_deterministic,
    surroundings,
    use_bf16,
)
from localizer.files import check_writable, replace_text
from localizer.model import saved
from localizer.model.augment import Augmentation
from localizer.model.head import HeadName
from localizer.model.localizer import Architecture, Localizer
from localizer.model.losses import Distance, Overlap
from localizer.model.resnet import Depth
from localizer.model.weights import start_from
from localizer.training.checkpoint import Checkpoints
from localizer.training.course import Course, memory_told
from localizer.training.engine import Epoch, Samples, fit
from localizer.training.show import draw_boxes
from localizer.training.state import Recipe, State

SPLIT = Path("tables/split.csv")
WEIGHTS = Path("models/localizer.safetensors")
HISTORY = Path("reports/train/history.csv")
METRICS = Path("reports/train/metrics.json")
COLLAPSED = 0.1  # of the true boxes' spread: below it the model gives all images about the same box
FAST_STEPS = 2
STRIDE = 32  # pixels a cell of layer4

Share = Annotated[float, Field(ge=0, lt=1)]


class TrainParams(config.Record):
    """`image_size` in pixels; the rest is said by `Architecture`, `Recipe` and `Augmentation`, and in params.yaml."""

    device: Device
    deterministic: bool
    precision: Precision
    compile: bool
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    image_size: Annotated[int, Field(ge=32, le=1024)]
    depth: Depth
    head: HeadName
    grid: Annotated[int, Field(ge=1, le=32)]
    weights: str
    backbone_lr: Annotated[float, Field(ge=0, le=1)]
    epochs: Annotated[int, Field(ge=1)]
    patience: Annotated[int, Field(ge=0)]
    batch_size: Annotated[int, Field(ge=2)]
    lr: Annotated[float, Field(gt=0, lt=1)]
    weight_decay: Share
    warmup: Share
    clip: Annotated[float, Field(ge=0)]
    average: Share
    distance: Distance
    distance_weight: Annotated[float, Field(ge=0)]
    overlap: Overlap
    flip: Annotated[float, Field(ge=0, le=1)]
    zoom: Share
    shift: Share
    turn: Annotated[float, Field(ge=0, le=45)]
    colour: Share
    show_every: Annotated[int, Field(ge=0)]
    overfit: Annotated[int, Field(ge=0)]
    fast_run: bool

    @model_validator(mode="after")
    def _sees_places(self) -> Self:
        """A heat map of one cell has one place: its boxes would all lie in the middle."""
        if self.head == "heatmap" and self.image_size <= STRIDE:
            raise ValueError(
                f"image_size {self.image_size} leaves the heat map one cell; set it above {STRIDE}, or head to grid"
            )
        return self


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    params = for_debugging(config.load("train", TrainParams))
    device = choose_device(params.device)
    set_deterministic(params.deterministic)
    home = tracking.main_checkout() / ".localizer"
    for folder in (WEIGHTS.parent, HISTORY.parent, home / "checkpoints", home / "decoded"):
        check_writable(folder)  # now, not after hours
    with tracking.stage_run("train") as run:
        images = read_table(SPLIT, numbers=["width", "height", *EDGES])
        sides = sides_of(images, params)
        train, validation, held_back = (samples(side, params.image_size, device, home / "decoded") for side in sides)
        where = f"{describe(device)}{', in bfloat16' if use_bf16(params.precision, device) else ''}"
        print(f"train: {len(train)} images, {len(validation)} for validation, on {where}", flush=True)
        run.log_table(sides[0], name="train", context="training")
        # Outside of a DVC project nobody knows what a checkpoint was made from.
        inputs = dict(run.inputs) | surroundings(device, params.precision)
        checkpoints = Checkpoints(home / "checkpoints", inputs) if run.inputs else None
        course, how = begin(params, device, images=len(train), checkpoints=checkpoints)
        tell_start(course, params.epochs, run=run)
        with course.keeping():
            with run.watching():
                go(params, course, fit(course.state, train, validation, recipe=how), validation, run=run)
            run.check_inputs()
            learnt = errors_of(course.end(), held_back, sides[2], params)
            save(course, params, calibration=learnt, label=", ".join(sorted(set(images["label"]))), run=run)
            run.log_model(WEIGHTS)
        course.remove_checkpoints()


def for_debugging(params: TrainParams) -> TrainParams:
    """Return the params with what `overfit` and `fast_run` change."""
    if params.overfit:
        off = dict.fromkeys(Augmentation.__dataclass_fields__, 0.0)
        params = params.model_copy(update=off | {"batch_size": min(params.batch_size, params.overfit)})
    return params.model_copy(update={"epochs": 1}) if params.fast_run else params


def sides_of(images: pd.DataFrame, params: TrainParams) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return the rows to train on, validate and calibrate with: `overfit` takes the same few for the first two."""
    train, validation, calibration = (images[images["side"] == side] for side in ("train", "validation", "calibration"))
    if params.overfit:
        train = validation = train[: params.overfit]
    if params.fast_run:
        train = train[: FAST_STEPS * params.batch_size]
        validation, calibration = validation[: params.batch_size], calibration[: params.batch_size]
    return train, validation, calibration


def samples(images: pd.DataFrame, image_size: int, device: torch.device, cache: Path) -> Samples:
    """Return the images' pixels and boxes: decoded once and for all, held on the device where they fit."""
    pixels = predictor.to_tensor(decoded([*map(Path, images["path"])], [*images["sha256"]], image_size, folder=cache))
    boxes = torch.from_numpy(true_boxes(images)).float().to(device)
    return Samples(pixels.to(device) if fits(pixels, device) else pixels, boxes, list(images["image"]))


def begin(
    params: TrainParams, device: torch.device, *, images: int, checkpoints: Checkpoints | None
) -> tuple[Course, Recipe]:
    """Return a training of so many images as it starts, and how it is to go on."""
    torch.manual_seed(params.seed)
    model = Localizer(Architecture(params.depth, params.head, params.grid))
    start_from(model, params.weights)
    how = recipe(params, device)
    state = State(model.to(device).to(memory_format=torch.channels_last), how, images=images)
    return Course(state, checkpoints), how


def go(params: TrainParams, course: Course, epochs: Iterator[Epoch], validation: Samples, *, run: tracking.Run) -> None:
    """Train to the end, or until it doesn't get better any more; record every epoch."""
    told = memory_told(epochs, batch_size=params.batch_size, image_size=params.image_size)
    while not course.is_over(patience=params.patience) and (epoch := next(told, None)):
        course.add(epoch)
        record(course, params.epochs, run=run)
        if params.show_every and epoch.epoch % params.show_every == 0:
            run.log_image(draw_boxes(course.state.judged, validation), key="validation", step=epoch.epoch)
    if course.history[-1].epoch < params.epochs:
        print(f"train: no better since epoch {course.best.epoch}: stopped early", flush=True)
    if course.history[-1].spread < COLLAPSED:
        print(
            f"train: WARNING: about the same box on every image ({course.history[-1].spread:.0%} of the true boxes' "
            "spread): train longer, try another train.lr, or see with train.overfit: 8 whether it learns at all",
            flush=True,
        )


def tell_start(course: Course, epochs: int, *, run: tracking.Run) -> None:
    """Resume where a checkpoint lets us, and record the epochs that it has; say which start this is."""
    if found := course.resume():
        print(f"Resuming after epoch {len(found.history)} of {epochs}: {found.path}", flush=True)
        for epoch in found.history:
            log_epoch(epoch, run=run)
        write_history(found.history)
    elif course.checkpoints and (why := course.checkpoints.why_none()):
        print(f"train: from the start: {why}", flush=True)


def record(course: Course, epochs: int, *, run: tracking.Run) -> None:
    """Send the last epoch to MLflow, all of them to the history's file, and a line to the terminal."""
    last = course.history[-1]
    log_epoch(last, run=run)
    write_history(course.history)
    told = f"epoch {last.epoch}/{epochs}: loss {last.loss:.3f}, validation IoU {last.val_iou:.3f}"
    left = timedelta(seconds=round((epochs - last.epoch) * last.seconds))
    tqdm.write(f"{told} (best {course.best.val_iou:.3f}), {last.images_per_s:.0f} images/s, {left} left")
    sys.stdout.flush()


def write_history(history: Sequence[Epoch]) -> None:
    """Write the epochs as a table, without what differs each time."""
    write_table(pd.DataFrame(history).drop(columns=["images_per_s", "waited", "seconds"]).round(6), HISTORY)


def log_epoch(epoch: Epoch, *, run: tracking.Run) -> None:
    run.log_metrics({name: value for name, value in vars(epoch).items() if name != "epoch"}, step=epoch.epoch)


def errors_of(model: Localizer, images: Samples, table: pd.DataFrame, params: TrainParams) -> Calibration:
    """Return what the model's errors on the calibration side, which has chosen nothing about it, promise."""
    batches = (batch.to(images.boxes.device) for batch in images.pixels.split(params.batch_size))
    seen = predictor.together([predictor.look(model, batch) for batch in batches if len(batch)])
    pred_px = as_pixels(seen.boxes, table["width"].to_numpy(), table["height"].to_numpy())
    return calibrate(pred_px, table[EDGES].to_numpy(dtype=float), seen.agreement)


def save(course: Course, params: TrainParams, *, calibration: Calibration, label: str, run: tracking.Run) -> None:
    """Write the best model and its metrics, and give them to MLflow."""
    best = course.best
    told = {"label": label, "best_epoch": best.epoch, "val_iou": best.val_iou, "calibration": calibration}
    saved.save(WEIGHTS, course.end(), image_size=params.image_size, params=params.model_dump(), **told)
    metrics = {"best_epoch": best.epoch, "val_iou": round(best.val_iou, 6)}
    replace_text(METRICS, json.dumps(metrics, indent=2) + "\n")
    for path in (HISTORY, METRICS, WEIGHTS.with_suffix(".json")):
        run.log_artifact(path)
    run.log_metrics({"best_epoch": best.epoch, "best_val_iou": best.val_iou})


def recipe(params: TrainParams, device: torch.device) -> Recipe:
    values = params.model_dump()
    strengths = Augmentation(**{name: values[name] for name in Augmentation.__dataclass_fields__})
    rest = {name: values[name] for name in Recipe.__dataclass_fields__ if name in values}
    return Recipe(**rest, bf16=use_bf16(params.precision, device), augmentation=strengths)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except (ValueError, OSError) as error:
        sys.exit(f"train: {error}")
