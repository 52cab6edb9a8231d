"""The blood cells of bccd as decoded images in one file, to train on where the pipeline can't run."""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from bench.turns import Row, row
from bench.works import where
from localizer.boxes import paired_iou
from localizer.predictor import predict_with_flip, to_tensor
from localizer.training.distributed import ALONE
from localizer.training.loop import fit
from localizer.training.params import TrainParams
from localizer.training.samples import Samples
from localizer.training.session import start_session

SIDE = 224
MOST_BYTES = 60e6  # of the file, since what travels to a machine may be limited


def make(path: Path) -> str:
    """Make the file by the pipeline's first stages, in a clone of the commit; return what it is, for people to read."""
    from bench.study import split
    from localizer.images.decoding import read_squares
    from localizer.tables import true_boxes

    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        try:
            images = split("bccd", Path(folder), sides=("train", "validation", "test"))
            pixels = read_squares([*map(Path, images["path"])], SIDE, digests=[*images["sha256"]])
        finally:
            os.chdir(before)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, pixels=pixels, boxes=true_boxes(images), split=images["split"].to_numpy(dtype=str))
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"{path}: expected at most {MOST_BYTES / 1e6:.0f} MB, got {size / 1e6:.1f} MB")
    return f"{path}: {len(images)} images of {SIDE} px, {size / 1e6:.1f} MB"


def made_up(path: Path, *, side: int) -> Path:
    """Write a file of random images and boxes, to rehearse with."""
    rng = np.random.default_rng(0)
    split = np.repeat(["train", "validation", "test"], [4, 2, 2])
    corners = rng.random((len(split), 4)) / 2 + [0, 0, 0.5, 0.5]
    np.savez_compressed(
        path, pixels=rng.integers(0, 256, (len(split), side, side, 3), np.uint8), boxes=corners, split=split
    )
    return path


def train(path: Path, device: torch.device, params: TrainParams, *, min_steps: int) -> Iterator[Row]:
    """Train by the recipe at the file's size, choose the epoch by validation, and yield what it comes to on test."""
    learn, validation, test = (samples(path, side, device) for side in ("train", "validation", "test"))
    epochs = {"epochs": 1, "min_steps": min_steps, "image_size": learn.pixels.shape[2]}
    params = params.model_copy(update=epochs | {"batch_size": min(params.batch_size, len(learn))}).for_images(
        len(learn)
    )
    session = start_session(params, device, images=len(learn), checkpoints=None, ranks=ALONE)
    started = time.perf_counter()
    for epoch in fit(session.state, learn, validation, config=params.train_config(device)):
        session.add(epoch)
    took_s = time.perf_counter() - started
    pred = predict_with_flip(session.best_model(), test.pixels).boxes
    true, constant = (one.boxes.cpu().double().numpy() for one in (test, learn))
    ious = {"": paired_iou(pred, true), "_of_mean_box": paired_iou(np.broadcast_to(constant.mean(0), true.shape), true)}
    course = f"{params.epochs} epochs in {took_s:.0f} s, the best of them {session.best.epoch}"
    note = f"{params.image_size} px, {course}, {len(true)} test images"
    for name, iou in ious.items():
        yield row(f"gpu_bccd_iou{name}", [float(iou.mean())], unit="mean IoU", device=where(), note=note)
    rates = [epoch.images_per_s for epoch in session.history[1:]] or [session.history[0].images_per_s]
    yield row("gpu_bccd_rate", rates, unit="images/s", device=where(), note=note)


def samples(path: Path, side: str, device: torch.device) -> Samples:
    """Return a side of the split in the file, on the device."""
    with np.load(path) as kept:
        rows = kept["split"] == side
        boxes = torch.from_numpy(kept["boxes"][rows]).float()
        return Samples(to_tensor(kept["pixels"][rows]).to(device), boxes.to(device))
