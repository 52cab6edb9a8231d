"""Peers of our training, in as much time, on the same images: `python -m bench.peers demo --seconds 120`.

The peers are the script that this project grew from (seed.py), as it is, and torchvision's FCOS with ResNet-50 and FPN
from random weights, of which the box of the highest score counts, however low that is. `bench.quality` trains both on
the training side of a split, for the CPU seconds that our stage took, and judges them on its test side. Here FCOS's
recipe is chosen: it is trained with each given learning rate and side, and judged on the validation side; a row is
added to bench/results/peers.json. On a GPU seconds are those of the clock, else those of the process on all cores.
"""

import argparse
import csv
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Subset
from torchvision.models.detection import fcos_resnet50_fpn
from tqdm import tqdm

from bench import kept, seed
from bench.kept import ROOT
from bench.study import split
from bench.works import where
from localizer import config
from localizer.boxes import Array, paired_iou
from localizer.device import choose_device
from localizer.images.decoding import open_rgb, to_square
from localizer.model.augmentation import DRAWS, Augmentation, augment
from localizer.model.localizer import RGB_MEAN, RGB_STD
from localizer.tables import true_boxes
from localizer.training.optimizer import warmup_cosine
from localizer.training.params import TrainParams
from localizer.training.samples import Samples, load_samples

BATCH, LR, SIDE = 16, 0.001, 64  # what won on the demo's validation side: bench/README.md
WARMUP, WEIGHT_DECAY, CLIP = 0.1, 0.05, 1.0
DISTANCE = 2.0  # at the start, from a cell to each edge, in strides
RESOLUTION = 10_000  # steps of the schedule, which goes by time


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", help="the name of a folder of data/")
    parser.add_argument("--seconds", type=float, required=True, help="of each training")
    parser.add_argument("--lr", type=float, nargs="+", default=[LR])
    parser.add_argument("--side", type=int, nargs="+", default=[SIDE], help="to which FCOS enlarges the images")
    options = parser.parse_args()
    params, commit = config.load("train", TrainParams, path=ROOT / "params.yaml"), kept.commit()
    device = choose_device(params.device)
    with tempfile.TemporaryDirectory() as folder:
        images = split(options.dataset, Path(folder))
        sides = (images[images["split"] == name] for name in ("train", "validation"))
        train, validation = (load_samples(rows, params.image_size, device, Path(folder) / "decoded") for rows in sides)
        for lr, side in product(options.lr, options.side):
            told = {"dataset": options.dataset, "seconds": options.seconds, "lr": lr, "side": side, "seed": 0}
            if kept.has("peers", told):
                continue
            boxes, steps = fcos(train, validation, params, seconds=options.seconds, lr=lr, side=side)
            iou = paired_iou(boxes, validation.boxes.cpu().double().numpy()).mean()
            told |= {"iou": round(float(iou), 4), "steps": steps, "images": len(validation)}
            kept.add("peers", told | {"where": where(), "commit": commit})
    show()


def fcos(
    train: Samples, test: Samples, params: TrainParams, *, seconds: float, lr: float = LR, side: int = SIDE
) -> tuple[Array, int]:
    """Return FCOS's boxes of the test images after so many seconds of training, and its steps.

    It has our seed, precision and augmentation. The rate follows a cosine of the time, after a warm-up.
    """
    device, how = train.boxes.device, params.train_config(train.boxes.device)
    torch.manual_seed(params.seed)
    model = detector(side, bf16=how.bf16).to(device).to(memory_format=torch.channels_last).train()
    groups = [
        {"params": [weight for weight in model.parameters() if (weight.ndim > 1) == decayed], "weight_decay": decay}
        for decayed, decay in ((True, WEIGHT_DECAY), (False, 0.0))
    ]
    optimizer = torch.optim.AdamW(groups, lr=lr, fused=True)
    factor, steps = warmup_cosine(round(WARMUP * RESOLUTION), steps=RESOLUTION), 0
    seconds_of = clock(device)
    started = seconds_of()
    with tqdm(total=100, unit="%", disable=None) as bar:
        for pixels, boxes in batches(train, how.augmentation):
            done = (seconds_of() - started) / seconds if seconds else 1.0
            bar.update(min(100, int(100 * done)) - bar.n)
            if steps and done >= 1:
                break
            for group in optimizer.param_groups:
                group["lr"] = lr * factor(min(RESOLUTION - 1, int(done * RESOLUTION)))
            targets = [{"boxes": box[None], "labels": torch.ones(1, dtype=torch.int64, device=device)} for box in boxes]
            loss = torch.stack([*model(list(pixels), targets).values()]).sum()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            steps += 1
    return best_boxes(model, test), steps


def detector(side: int, *, bf16: bool) -> nn.Module:
    """Return FCOS for one class, at this side; backbone and head compute in bfloat16 if ours do.

    The pyramid between them stays in float32: torch's gradients of its convolutions on 1 x 1 maps are NaN in bfloat16
    on a CPU. Departs from torchvision in the first bias of the distances to the edges, 2 strides in place of 0: behind
    a ReLU they start at 0 in half of the cells, and from random weights all of them died within 10 steps, at any rate.
    """
    model: nn.Module = fcos_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=2,  # with the background, which torchvision counts
        min_size=side,
        max_size=side,
        score_thresh=0.0,  # the best box counts, however low its score
        detections_per_img=1,
    )
    nn.init.constant_(model.get_parameter("head.regression_head.bbox_reg.bias"), DISTANCE)
    for part in ("backbone.body", "head") if bf16 else ():
        module = model.get_submodule(part)
        module.forward = in_bf16(module.forward)
    return model


def in_bf16(forward: Callable[..., dict[str, Tensor]]) -> Callable[..., dict[str, Tensor]]:
    """Return a forward pass in bfloat16 whose outputs are float32."""

    def wrapped(inputs: Tensor | list[Tensor]) -> dict[str, Tensor]:
        device = inputs.device if isinstance(inputs, Tensor) else inputs[0].device
        with torch.autocast(device.type, torch.bfloat16):
            outputs = forward(inputs)
        return type(outputs)((name, tensor.float()) for name, tensor in outputs.items())

    return wrapped


def batches(train: Samples, augmentation: Augmentation) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches without end: pixels [N, 3, S, S] in [0, 1], and boxes [N, 4] xyxy in pixels of S."""
    side = train.pixels.shape[-1]
    # FCOS normalizes again.
    mean, std = (torch.tensor(values, device=train.boxes.device).view(3, 1, 1) for values in (RGB_MEAN, RGB_STD))
    while True:
        for rows in torch.randperm(len(train)).split(min(BATCH, len(train))):
            if len(rows) < min(BATCH, len(train)):
                break  # the last few
            pixels, boxes = train.batch(rows).to(train.boxes.device), train.boxes[rows.to(train.boxes.device)]
            draws = torch.rand(len(rows), DRAWS, device=boxes.device)
            pixels, boxes = augment(pixels, boxes, draws, strength=augmentation)
            yield pixels * std + mean, boxes * side


@torch.no_grad()
def best_boxes(model: nn.Module, test: Samples) -> Array:
    """Return the box with the highest score of each image, [N, 4] xyxy in [0, 1]."""
    model.eval()
    found = [one["boxes"][0] for pixels in test.batches(64) for one in model(list(pixels / 255))]
    return (torch.stack(found).cpu().double() / test.pixels.shape[-1]).numpy()


def clock(device: torch.device) -> Callable[[], float]:
    """Return what measures a training: on a CPU other work on the machine must not count."""
    return time.process_time if device.type == "cpu" else time.perf_counter


def script(images: pd.DataFrame, side: int, seconds: float) -> tuple[Array, int]:
    """Return the seed script's boxes of the test side after so many seconds of training, and its epochs."""
    images = images[images["split"].isin(["train", "test"])].reset_index(drop=True)
    train, test = (np.flatnonzero(images["split"] == name).tolist() for name in ("train", "test"))
    device = choose_device("auto")
    theirs, step = seed.SeedImages(squares(images, side, Path("squares")), side=None), seed.SeedStep(device)
    seconds_of, done = clock(device), 0
    ends = seconds_of() + seconds
    for _ in seed.epochs(Subset(theirs, train), step):
        done += 1
        if seconds_of() >= ends:
            break
    return seed.predicted(theirs, step, test) / side, done


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
    """Print what was tried for FCOS as a Markdown table."""
    print("\n| data | seconds | learning rate | FCOS's side | steps | mean IoU on validation |")
    print("|---|---|---|---|---|---|")
    for row in kept.rows("peers"):
        names = ("dataset", "seconds", "lr", "side", "steps", "iou")
        print(f"| {' | '.join(str(row[name]) for name in names)} |")


if __name__ == "__main__":
    main()
