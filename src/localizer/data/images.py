"""Reading images: one rule for every mode and orientation, one way to the network's square."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

MAX_PIXELS = 40_000_000
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")  # as Pillow opens them: JPEG takes MPO along
DEEP_MODES = ("I;16", "I;16L", "I;16B", "I", "F")  # more than 8 bits a channel: converting would clip

Pixels = NDArray[np.uint8]


class ImageError(ValueError):
    """An image file that can't be used: `reason` says why, the message names the file too."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.reason = reason


def open_rgb(path: Path) -> Image.Image:
    """Return the image upright and as RGB: grey, palette and CMYK are converted, alpha is dropped."""
    image = open_upright(path)
    image.info.pop("transparency", None)  # dropped like all alpha; Pillow would warn where it is a palette's
    return image.convert("RGB")


def open_upright(path: Path) -> Image.Image:
    """Return the image decoded to its end, in its own mode, with EXIF orientation 2 to 8 applied.

    Raises ImageError: missing, not a regular file, not decodable, over 40 megapixels (before decoding),
    several frames, or more than 8 bits a channel.
    """
    try:
        if path.exists() and not path.is_file():
            raise ValueError("not a regular file")  # opening a FIFO would wait for ever
        with Image.open(path, formats=FORMATS) as image:
            _check_header(image)
            image.load()
            return ImageOps.exif_transpose(image)
    except FileNotFoundError:
        raise ImageError(path, "no such file") from None
    except Exception as error:  # a broken file makes Pillow's decoders raise whatever they trip over
        raise ImageError(path, _reason(error)) from None


def to_square(image: Image.Image, size: int) -> Pixels:
    """Return the image as uint8 [size, size, 3], stretched to a square (antialiased bilinear)."""
    return np.array(image.resize((size, size), Image.Resampling.BILINEAR))


def read_squares(paths: Iterable[Path], size: int) -> Pixels:
    """Return the images as RGB uint8 [N, size, size, 3], decoded by a few threads, in the order of the paths."""
    with ThreadPoolExecutor() as pool:
        squares = list(pool.map(lambda path: to_square(open_rgb(path), size), paths))
    return np.stack(squares) if squares else np.empty((0, size, size, 3), dtype=np.uint8)


def _check_header(image: Image.Image) -> None:
    width, height = image.size
    frames = getattr(image, "n_frames", 1)
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels, over the cap of {MAX_PIXELS // 1_000_000} megapixels")
    if frames > 1 and image.format != "MPO":  # an MPO's first frame is the photograph
        raise ValueError(f"{frames} frames; a single image is wanted")
    if image.mode in DEEP_MODES:
        raise ValueError(f"mode {image.mode} holds more than 8 bits a channel; save it with 8")


def _reason(error: Exception) -> str:
    if "cannot identify image file" in str(error):
        return f"not an image of a known format ({', '.join(FORMATS)})"
    return str(error) or type(error).__name__
