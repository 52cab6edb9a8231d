"""Trains ResNet-50 to put one box on an image, and keeps the weights with the best validation IoU."""

import json
import platform
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import pandas as pd
import torch
from pydantic import Field

from localizer import config, predictor, tracking
from localizer.data.images import read_squares
from localizer.data.tables import EDGES, read_table, true_boxes, write_table
from localizer.device import Device, choose_device, describe, is_out_of_memory, set_deterministic
from localizer.files import check_writable, replace_text
from localizer.model.augment import Augmentation
from localizer.model.localizer import Localizer
from localizer.model.losses import Distance, Overlap
from localizer.training.checkpoint import Checkpoints
from localizer.training.engine import Epoch, Samples, fit
from localizer.training.state import Recipe, State, part

SPLIT = Path("tables/split.csv")
WEIGHTS = Path("models/localizer.safetensors")
HISTORY = Path("reports/train/history.csv")
METRICS = Path("reports/train/metrics.json")
BEST = "best."  # before the names of the best epoch's weights in a checkpoint

Share = Annotated[float, Field(ge=0, lt=1)]


class TrainParams(config.Record):
    """`image_size` in pixels, `grid` of the head; the rest is said by `Recipe` and `Augmentation`."""

    device: Device
    deterministic: bool
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
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    params = config.load("train", TrainParams)
    device = choose_device(params.device)
    set_deterministic(params.deterministic)
    home = tracking.main_checkout() / ".localizer"
    for folder in (WEIGHTS.parent, HISTORY.parent, home / "checkpoints"):
        check_writable(folder)  # now, not after hours
    with tracking.stage_run("train") as run:
        images = read_table(SPLIT, numbers=["width", "height", *EDGES])
        sides = [images[images["side"] == side] for side in ("train", "validation")]
        train, validation = (samples(side, params.image_size, device) for side in sides)
        print(f"train: {len(train)} images, {len(validation)} for validation, on {describe(device)}", flush=True)
        run.log_table(sides[0], name="train", context="training")
        # Outside of a DVC project nobody knows what a checkpoint was made from.
        inputs = dict(run.inputs) | surroundings(device)
        checkpoints = Checkpoints(home / "checkpoints", inputs) if run.inputs else None
        model, best = keep_best(params, train, validation, run=run, device=device, checkpoints=checkpoints)
        run.check_inputs()
        save(model, best, params, label=", ".join(sorted(set(images["label"]))), run=run)
        run.log_model(model.cpu(), train.pixels[:2].cpu().contiguous())
        if checkpoints:
            checkpoints.remove()


def save(model: Localizer, best: Epoch, params: TrainParams, *, label: str, run: tracking.Run) -> None:
    """Write the model and its metrics, and give them to MLflow."""
    predictor.save(
        WEIGHTS,
        model,
        image_size=params.image_size,
        grid=params.grid,
        label=label,
        best_epoch=best.epoch,
        val_iou=best.val_iou,
    )
    metrics = {"best_epoch": best.epoch, "val_iou": round(best.val_iou, 6)}
    replace_text(METRICS, json.dumps(metrics, indent=2) + "\n")
    for path in (HISTORY, METRICS, WEIGHTS.with_suffix(".json")):
        run.log_artifact(path)
    run.log_metrics({"best_epoch": best.epoch, "best_val_iou": best.val_iou})


def samples(images: pd.DataFrame, image_size: int, device: torch.device) -> Samples:
    """Return the images' pixels and boxes, decoded once and held on the device."""
    pixels = predictor.to_tensor(read_squares(map(Path, images["path"]), image_size))
    return Samples(pixels.to(device), torch.from_numpy(true_boxes(images)).float().to(device), list(images["image"]))


def surroundings(device: torch.device) -> dict[str, str]:
    """Return what else the weights depend on, to the last bit: versions, device, and the number of threads."""
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    return versions | {"device": describe(device), "threads": str(torch.get_num_threads())}


def keep_best(
    params: TrainParams,
    train: Samples,
    validation: Samples,
    *,
    run: tracking.Run,
    device: torch.device,
    checkpoints: Checkpoints | None,
) -> tuple[Localizer, Epoch]:
    """Train from the last checkpoint on, record every epoch, and return the model as it was after the best one."""
    torch.manual_seed(params.seed)
    model = Localizer(grid=params.grid).to(device).to(memory_format=torch.channels_last)
    state = State(model, recipe(params), images=len(train))
    history, weights = resume(state, checkpoints, epochs=params.epochs, run=run)
    for epoch in memory_told(fit(state, train, validation, recipe=recipe(params)), params):
        history.append(epoch)
        if best_of(history) is epoch:
            weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        if checkpoints:  # first: what was recorded must not be done again
            checkpoints.save(history, state.tensors() | {BEST + name: tensor for name, tensor in weights.items()})
        record(history, params.epochs, run=run)
    model.load_state_dict(weights)
    return model, best_of(history)


def memory_told(epochs: Iterator[Epoch], params: TrainParams) -> Iterator[Epoch]:
    """Yield the epochs; ValueError says what to lower when memory runs out."""
    try:
        yield from epochs
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise ValueError(
            f"out of memory with train.batch_size {params.batch_size} at train.image_size {params.image_size}; lower "
            "one of them"
        ) from None


def resume(
    state: State, checkpoints: Checkpoints | None, *, epochs: int, run: tracking.Run
) -> tuple[list[Epoch], dict[str, torch.Tensor]]:
    """Bring the state to where the last start of the same training ended; return its epochs and best weights."""
    found = checkpoints.latest() if checkpoints else None
    if found is None or checkpoints is None:
        if checkpoints and (why := checkpoints.why_none()):
            print(f"train: from the start: {why}", flush=True)
        return [], {}
    print(f"Resuming after epoch {len(found.history)} of {epochs}: {found.path}", flush=True)
    state.restore(found.tensors, epoch=len(found.history))
    for epoch in found.history:
        log_epoch(epoch, run=run)
    write_history(found.history)
    return list(found.history), part(found.tensors, BEST)


def best_of(history: Sequence[Epoch]) -> Epoch:
    """Return the epoch with the highest validation IoU, the last of equals."""
    return max(reversed(history), key=lambda epoch: epoch.val_iou)


def record(history: list[Epoch], epochs: int, *, run: tracking.Run) -> None:
    """Send the last epoch to MLflow, all of them to the history's file, and a line to the terminal."""
    last = history[-1]
    log_epoch(last, run=run)
    write_history(history)
    if not sys.stderr.isatty():  # where the progress bar is off
        speed = f"{last.images_per_s:.0f} images/s"
        print(
            f"epoch {last.epoch}/{epochs}: loss {last.loss:.3f}, validation IoU {last.val_iou:.3f}, {speed}", flush=True
        )


def write_history(history: Sequence[Epoch]) -> None:
    """Write the epochs as a table, without their speed, which differs each time."""
    write_table(pd.DataFrame(history).drop(columns="images_per_s").round(6), HISTORY)


def log_epoch(epoch: Epoch, *, run: tracking.Run) -> None:
    metrics = {"loss": epoch.loss, "val_iou": epoch.val_iou, "lr": epoch.lr, "images_per_s": epoch.images_per_s}
    run.log_metrics(metrics, step=epoch.epoch)


def recipe(params: TrainParams) -> Recipe:
    strengths = {name: getattr(params, name) for name in ("flip", "zoom", "shift", "colour")}
    rest = params.model_dump(exclude={*strengths, "device", "deterministic", "image_size", "grid"})
    return Recipe(**rest, augmentation=Augmentation(**strengths))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except (ValueError, OSError) as error:
        sys.exit(f"train: {error}")
