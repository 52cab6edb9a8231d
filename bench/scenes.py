"""Any number of small pictures with one object each, none like another: a digit on coloured noise.

The demo's scenes are all cut from two photographs: of 100,000 of them one in seven looks like another one, and two
clusters hold thousands. Here each background is drawn anew. Scene i depends on i alone, so that a larger set begins
with the smaller one.
"""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits
from tqdm import tqdm

from localizer.files import replacing, replacing_folder

SIDE_PX = 64
GRAINS = 12  # of the noise, a side
DIGIT_PX = (16, 40)  # its width and height lie between
INK = 0.25  # a pixel belongs to the digit from this opacity on
PART = 1000  # scenes, in a folder of their own
HEADER = ("image", "label", "xmin", "ymin", "xmax", "ymax", "width", "height")
CARD = """\
title: Digits on noise, made for the bench
format: csv
annotations: annotations.csv
images: images
columns:
  image: image
  label: label
  box: [xmin, ymin, xmax, ymax]
  width: width
  height: height
label: digit
box_format: xyxy
box_units: pixel
box_origin: 0
licence: BSD-3-Clause, as scikit-learn
source: scikit-learn's load_digits
"""

Digits = NDArray[np.float64]
Box = tuple[int, int, int, int]


def make(folder: Path, *, scenes: int) -> int:
    """Write dataset.yaml, raw/annotations.csv and raw/images/NNNN/NNNNNNN.jpg, but those that are there already.

    Return how many had to be drawn. ValueError where they are no whole PARTs, or the folder has more of them.
    """
    parts, left = divmod(scenes, PART)
    there = len([*folder.glob("raw/images/*")])
    if left or there > parts:
        raise ValueError(
            f"{folder}: {scenes} scenes asked for, {there * PART} are there; ask for {PART}s, and no fewer"
        )
    digits, drawn = load_digits().images / 16, 0
    for part in tqdm(range(parts), desc="scenes", unit="thousand", disable=None):
        if not (folder / "raw" / "images" / f"{part:04d}").is_dir():
            _draw(folder, part, digits)
            drawn += PART
    with replacing(folder / "raw" / "annotations.csv") as file:
        file.write((",".join(HEADER) + "\n").encode())
        for part in range(parts):
            file.write(_rows(folder, part).read_bytes())
    (folder / "dataset.yaml").write_text(CARD, encoding="utf-8")
    return drawn


def scene(index: int, digits: Digits) -> tuple[Image.Image, Box]:
    """Return an RGB image and the box (xmin, ymin, xmax, ymax) in pixels around its digit's ink."""
    rng = np.random.default_rng(index)
    grains = Image.fromarray(rng.integers(0, 256, (GRAINS, GRAINS, 3), dtype=np.uint8))
    pixels = np.array(grains.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC), dtype=np.float64)
    digit = Image.fromarray((digits[rng.integers(len(digits))] * 255).astype(np.uint8))
    wide, high = rng.integers(*DIGIT_PX, size=2, endpoint=True).tolist()
    opacity = np.asarray(digit.resize((wide, high), Image.Resampling.BICUBIC), dtype=np.float64) / 255
    rows, columns = np.nonzero(opacity >= INK)
    opacity = opacity[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    top, left = (int(rng.integers(SIDE_PX - side, endpoint=True)) for side in opacity.shape)
    bottom, right = top + opacity.shape[0], left + opacity.shape[1]
    behind = pixels[top:bottom, left:right]
    behind += opacity[..., None] * (rng.choice([0.0, 255.0], size=3) - behind)
    return Image.fromarray(pixels.round().astype(np.uint8)), (left, top, right, bottom)


def _draw(folder: Path, part: int, digits: Digits) -> None:
    """Draw the scenes of a part, its rows first: where the folder is, all of it is."""
    path = _rows(folder, part)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing_folder(folder / "raw" / "images" / f"{part:04d}") as made, path.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        for index in range(part * PART, (part + 1) * PART):
            image, box_px = scene(index, digits)
            image.save(made / f"{index:07d}.jpg", quality=85)
            rows.writerow((f"{part:04d}/{index:07d}.jpg", "digit", *box_px, SIDE_PX, SIDE_PX))
        file.flush()


def _rows(folder: Path, part: int) -> Path:
    return folder / "rows" / f"{part:04d}.csv"
