"""Trains ResNet to put one box on an image, and keeps the weights with the best validation IoU."""

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Self

import torch
from pydantic import Field, model_validator
from tqdm import tqdm

from localizer import config, tracking
from localizer.calibration import Calibration
from localizer.device import (
    Device,
    Precision,
    choose_device,
    describe,
    set_deterministic,
    surroundings,
    use_bf16,
    versions,
)
from localizer.files import check_writable, digest, replace_text
from localizer.model import saving
from localizer.model.augmentation import Augmentation
from localizer.model.head import HeadName
from localizer.model.localizer import Architecture, Localizer
from localizer.model.losses import Distance, Overlap
from localizer.model.resnet import Depth
from localizer.model.weights import start_from
from localizer.training import launch
from localizer.training.checkpoints import Checkpoints
from localizer.training.distributed import Ranks, joined, own_device
from localizer.training.loop import Epoch, Samples, fit
from localizer.training.progress import draw_boxes, last_epoch, remarks, write_history
from localizer.training.samples import errors_of, read_sides, samples
from localizer.training.session import Course, memory_told
from localizer.training.state import Recipe, State

SPLIT = Path("tables/split.csv")
WEIGHTS = Path("models/localizer.safetensors")
HISTORY = Path("reports/train/history.csv")
METRICS = Path("reports/train/metrics.json")
STRIDE = 32  # pixels a cell of layer4

Share = Annotated[float, Field(ge=0, lt=1)]


class TrainParams(config.Record):
    """`image_size` in pixels; the rest is said by `Architecture`, `Recipe` and `Augmentation`, and in params.yaml.

    processes: that train together on this machine; batch_size: of all of them together.
    """

    device: Device
    deterministic: bool
    precision: Precision
    compile: bool
    processes: Annotated[int, Field(ge=1, le=64)]
    sync_batch_norm: bool
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
    params = for_debugging(config.load("train", TrainParams))
    if launch.is_wanted(params.processes):
        tracking.end_with_dvc()
        sys.exit(launch.launch(sys.argv[0], processes=params.processes))
    device = own_device(choose_device(params.device))
    set_deterministic(params.deterministic)
    with joined(device) as ranks:
        if ranks.group:
            tracking.end_with_parent()
            code = launch.code_of(Path(__file__))
            ranks.check_alike({"params": str(params), str(SPLIT): digest(SPLIT), "code": code} | versions())
        if ranks.leads:
            lead(params, device, ranks)
        else:
            follow(params, device, ranks)


def lead(params: TrainParams, device: torch.device, ranks: Ranks) -> None:
    """Train, and write, log and keep what comes out."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    home = tracking.main_checkout() / ".localizer"
    for folder in (WEIGHTS.parent, HISTORY.parent, home / "checkpoints", home / "decoded"):
        check_writable(folder)  # now, not after hours
    with tracking.stage_run("train") as run:
        label, sides = read_sides(SPLIT, overfit=params.overfit, fast_batch=params.batch_size * params.fast_run)
        train, validation, held_back = (samples(side, params.image_size, device, home / "decoded") for side in sides)
        where = f"{describe(device)}{', in bfloat16' if use_bf16(params.precision, device) else ''}"
        together = f", {ranks.world} processes" if ranks.group else ""
        print(f"train: {len(train)} images, {len(validation)} for validation, on {where}{together}", flush=True)
        run.log_table(sides[0], name="train", context="training")
        # Outside of a DVC project nobody knows what a checkpoint was made from.
        inputs = dict(run.inputs) | surroundings(device, params.precision, processes=ranks.world)
        checkpoints = Checkpoints(home / "checkpoints", inputs) if run.inputs else None
        course, how = begin(params, device, images=len(train), checkpoints=checkpoints, ranks=ranks)
        tell_start(course, params.epochs, run=run)
        with course.keeping():
            with run.watching():
                go(params, course, epochs_of(params, course, train, validation, how), validation, run=run)
            run.check_inputs()
            learnt = errors_of(course.end(), held_back, sides[2], batch_size=params.batch_size)
            save(course, params, calibration=learnt, label=label, run=run)
            run.log_model(WEIGHTS)
        course.remove_checkpoints()


def follow(params: TrainParams, device: torch.device, ranks: Ranks) -> None:
    """Train along with the first rank, which keeps what comes out."""
    cache = tracking.main_checkout() / ".localizer" / "decoded"
    _, sides = read_sides(SPLIT, overfit=params.overfit, fast_batch=params.batch_size * params.fast_run)
    train, validation = (samples(side, params.image_size, device, cache) for side in sides[:2])
    course, how = begin(params, device, images=len(train), checkpoints=None, ranks=ranks)
    course.resume()
    for _ in course.taking(epochs_of(params, course, train, validation, how), patience=params.patience):
        pass


def for_debugging(params: TrainParams) -> TrainParams:
    """Return the params with what `overfit` and `fast_run` change."""
    if params.overfit:
        off = dict.fromkeys(Augmentation.__dataclass_fields__, 0.0)
        params = params.model_copy(update=off | {"batch_size": min(params.batch_size, params.overfit)})
    return params.model_copy(update={"epochs": 1}) if params.fast_run else params


def begin(
    params: TrainParams, device: torch.device, *, images: int, checkpoints: Checkpoints | None, ranks: Ranks
) -> tuple[Course, Recipe]:
    """Return a training of so many images as it starts, and how it is to go on."""
    torch.manual_seed(params.seed)
    model = Localizer(Architecture(params.depth, params.head, params.grid))
    start_from(model, params.weights)
    how = recipe(params, device)
    state = State(model.to(device).to(memory_format=torch.channels_last), how, images=images, ranks=ranks)
    return Course(state, checkpoints), how


def epochs_of(params: TrainParams, course: Course, train: Samples, validation: Samples, how: Recipe) -> Iterator[Epoch]:
    """Return the epochs that are left to do."""
    epochs = fit(course.state, train, validation, recipe=how)
    return memory_told(epochs, batch_size=params.batch_size, image_size=params.image_size)


def go(params: TrainParams, course: Course, epochs: Iterator[Epoch], validation: Samples, *, run: tracking.Run) -> None:
    """Train to the end, or until it doesn't get better any more; record every epoch."""
    for epoch in course.taking(epochs, patience=params.patience):
        record(course, params.epochs, run=run)
        if params.show_every and epoch.epoch % params.show_every == 0:
            run.log_image(draw_boxes(course.state.judged, validation), key="validation", step=epoch.epoch)
    for remark in remarks(course, params.epochs):
        print(f"train: {remark}", flush=True)


def tell_start(course: Course, epochs: int, *, run: tracking.Run) -> None:
    """Resume where a checkpoint lets us, and record the epochs that it has; say which start this is."""
    if found := course.resume():
        print(f"Resuming after epoch {len(found.history)} of {epochs}: {found.path}", flush=True)
        for epoch in found.history:
            log_epoch(epoch, run=run)
        write_history(found.history, HISTORY)
    elif course.checkpoints and (why := course.checkpoints.why_none()):
        print(f"train: from the start: {why}", flush=True)


def record(course: Course, epochs: int, *, run: tracking.Run) -> None:
    """Send the last epoch to MLflow, all of them to the history's file, and a line to the terminal."""
    log_epoch(course.history[-1], run=run)
    write_history(course.history, HISTORY)
    tqdm.write(last_epoch(course, epochs))
    sys.stdout.flush()


def log_epoch(epoch: Epoch, *, run: tracking.Run) -> None:
    run.log_metrics({name: value for name, value in vars(epoch).items() if name != "epoch"}, step=epoch.epoch)


def save(course: Course, params: TrainParams, *, calibration: Calibration, label: str, run: tracking.Run) -> None:
    """Write the best model and its metrics, and give them to MLflow."""
    best = course.best
    told = {"label": label, "best_epoch": best.epoch, "val_iou": best.val_iou, "calibration": calibration}
    told |= {"split_sha256": digest(SPLIT)}
    saving.save(WEIGHTS, course.end(), image_size=params.image_size, params=params.model_dump(), **told)
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
