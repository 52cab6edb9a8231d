"""The demo data set: a handwritten digit, with its box, on a cluttered crop of a photograph.

The sources come with scikit-learn: 1,797 handwritten digits of 8 x 8 pixels (UCI ML hand-written digits) and two
photographs. Scene i depends only on the seed and on i, so that a larger set begins with the smaller one.
"""

import csv
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydantic import Field

from localizer.config import Record, load

RAW = Path("data/demo/raw")
SIDES_PX = (96, 160)  # least and greatest width and height of an image
DIGIT_SHARE = (0.25, 0.65)  # least and greatest height of a digit, as a share of the image's shorter side
INK = 0.25  # a pixel belongs to the digit from this opacity on
HEADER = ("image", "label", "xmin", "ymin", "xmax", "ymax", "width", "height")

Pixels = NDArray[np.uint8]
Opacity = NDArray[np.float64]
Rng = np.random.Generator


class DemoParams(Record):
    """`scenes`: the number of images; `seed`: of the random generator."""

    scenes: Annotated[int, Field(ge=1, le=1_000_000)]
    seed: Annotated[int, Field(ge=0, lt=2**32)]


def main() -> None:
    params = load("demo", DemoParams)
    write_scenes(RAW, scenes=params.scenes, seed=params.seed)


def write_scenes(folder: Path, *, scenes: int, seed: int) -> None:
    """Write images/NNNNNN.jpg and annotations.csv (xyxy in pixels from 0) below the folder."""
    from sklearn.datasets import load_digits, load_sample_images

    (folder / "images").mkdir(parents=True, exist_ok=True)
    photos, digits = list(load_sample_images().images), list(load_digits().images / 16)
    with (folder / "annotations.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(HEADER)
        for index in range(scenes):
            image, box_px = render_scene(np.random.default_rng([seed, index]), photos=photos, digits=digits)
            name = f"{index:06d}.jpg"
            image.save(folder / "images" / name, quality=90)
            table.writerow((name, "digit", *box_px, *image.size))


def render_scene(rng: Rng, *, photos: list[Pixels], digits: list[Opacity]) -> tuple[Image.Image, tuple[int, ...]]:
    """Return one RGB image and the box (xmin, ymin, xmax, ymax) in pixels around its digit's ink."""
    width, height = (int(side) for side in rng.integers(*SIDES_PX, size=2, endpoint=True))
    canvas = _background(rng, photos[rng.integers(len(photos))], size=(width, height))
    _clutter(rng, canvas)
    side = int(min(width, height) * rng.uniform(*DIGIT_SHARE))
    opacity = _resized(digits[rng.integers(len(digits))], size=(int(side * rng.uniform(0.7, 1)), side))
    rows, columns = np.nonzero(opacity >= INK)
    opacity = opacity[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    ink_height, ink_width = opacity.shape
    left = int(rng.integers(width - ink_width, endpoint=True))
    top = int(rng.integers(height - ink_height, endpoint=True))
    box_px = (left, top, left + ink_width, top + ink_height)
    return _paint(canvas, opacity, box_px, color=_contrasting_color(rng, canvas.crop(box_px))), box_px


def _background(rng: Rng, photo: Pixels, *, size: tuple[int, int]) -> Image.Image:
    """Return a crop of the photograph, at a random scale; half of the time with red and blue swapped."""
    limit = min(photo.shape[1] / size[0], photo.shape[0] / size[1])
    scale = rng.uniform(1, limit)
    crop_width, crop_height = int(size[0] * scale), int(size[1] * scale)
    left = int(rng.integers(photo.shape[1] - crop_width, endpoint=True))
    top = int(rng.integers(photo.shape[0] - crop_height, endpoint=True))
    crop = photo[top : top + crop_height, left : left + crop_width, :: rng.choice((-1, 1))]
    return Image.fromarray(np.ascontiguousarray(crop)).resize(size, Image.Resampling.BILINEAR)


def _clutter(rng: Rng, canvas: Image.Image) -> None:
    """Draw up to four lines, ellipses and rectangles as distractors."""
    draw = ImageDraw.Draw(canvas)
    for _ in range(rng.integers(0, 4, endpoint=True)):
        start = rng.uniform(0, 1, 2) * canvas.size
        end = start + rng.uniform(-0.35, 0.35, 2) * canvas.size
        corners = [*np.minimum(start, end), *np.maximum(start, end)]
        color, width = tuple(rng.integers(0, 256, 3).tolist()), int(rng.integers(1, 4))
        kind = rng.integers(3)
        if kind == 0:
            draw.line([*start, *end], fill=color, width=width)
        elif kind == 1:
            draw.ellipse(corners, outline=color, width=width)
        else:
            draw.rectangle(corners, outline=color, width=width)


def _resized(digit: Opacity, *, size: tuple[int, int]) -> Opacity:
    image = Image.fromarray((digit * 255).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
    return np.asarray(image, dtype=np.float64) / 255


def _contrasting_color(rng: Rng, background: Image.Image) -> Any:
    """Return a random color far from the mean color behind the digit (a third of the RGB diagonal)."""
    mean = np.asarray(background, dtype=np.float64).reshape(-1, 3).mean(axis=0)
    while True:
        color = rng.uniform(0, 255, 3)
        if np.linalg.norm(color - mean) > 147:
            return color


def _paint(canvas: Image.Image, opacity: Opacity, box_px: tuple[int, ...], *, color: Any) -> Image.Image:
    pixels = np.array(canvas, dtype=np.float64)
    region = (slice(box_px[1], box_px[3]), slice(box_px[0], box_px[2]))
    pixels[region] += opacity[..., None] * (color - pixels[region])
    return Image.fromarray(pixels.round().astype(np.uint8))


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        sys.exit(f"demo: {error}")
