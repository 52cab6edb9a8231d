"""Reading images: one rule for every mode and orientation, one way to the network's square."""

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile

MAX_PIXELS = 40_000_000
MAX_SCANS = 100  # of a JPEG: encoders write up to a dozen, and each costs time for the whole image; libtiff's limit too
THREADS = min(8, (os.cpu_count() or 1) + 1)  # that decode at once: each may hold 300 MB, and one may wait for the disk
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")  # as Pillow opens them: JPEG takes MPO along
SUFFIXES = frozenset(suffix for suffix, kind in Image.registered_extensions().items() if kind in FORMATS)
DEEP_MODES = ("I;16", "I;16L", "I;16B", "I", "F")  # more than 8 bits a channel: converting would clip
ORIENTATION, BITS_PER_SAMPLE = 0x0112, 0x0102  # tags of EXIF and TIFF
SEGMENT = re.compile(rb"\xff([\x02-\xcf\xd9-\xfe])")  # the start of a JPEG's; other bytes after 255 start none
END_OF_IMAGE, START_OF_SCAN = b"\xd9", b"\xda"
PREPROCESSING = "RGB, upright, stretched to a square, antialiased bilinear"  # what `open_rgb` and `to_square` do
NO_MEMORY = "not enough memory to decode it"

# Pillow warns from 89 megapixels and raises from 179; MAX_PIXELS is lower, is checked before every decoding,
# and says the same of all. Code that opens files without `opened` has no such check.
Image.MAX_IMAGE_PIXELS = None

Pixels = NDArray[np.uint8]


class ImageError(ValueError):
    """An image file that can't be used: `reason` says why, the message names the file too."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.reason = reason


class Header(NamedTuple):
    """What a file says of its image before it is decoded: `width` and `height` in pixels when upright.

    frames: 1, or 2 for several: counting all of a TIFF's takes Pillow time that grows with their square.
    """

    format: str
    mode: str
    width: int
    height: int
    orientation: int
    frames: int


def open_rgb(path: Path, content: bytes | None = None) -> Image.Image:
    """Return the image upright and as RGB: grey, palette and CMYK are converted, alpha is dropped."""
    return as_rgb(open_upright(path, content))


def open_upright(path: Path, content: bytes | None = None) -> Image.Image:
    """Return the image decoded to its end, in its own mode, with EXIF orientation 2 to 8 applied.

    content: the file's bytes, if they are read already; `path` then only names the image.
    Raises ImageError: missing, not a regular file, not decodable, over 40 megapixels (before decoding),
    several frames, a JPEG of over 100 scans, more than 8 bits a channel, or colours that can't become RGB.
    """
    with open_image(path, content) as image:
        return decode(image)


@contextmanager
def open_image(path: Path, content: bytes | None = None) -> Iterator[Image.Image]:
    """Give the image not yet decoded; whatever goes wrong with it becomes an ImageError that names the file."""
    try:
        if content is None and path.exists() and not path.is_file():
            raise ValueError("not a regular file")  # opening a FIFO would wait for ever
        if (path.stat().st_size if content is None else len(content)) == 0:
            raise ValueError("an empty file")
        with Image.open(path if content is None else BytesIO(content), formats=FORMATS) as image:
            yield image
    except FileNotFoundError:
        raise ImageError(path, "no such file") from None
    except Exception as error:  # a broken file makes Pillow's decoders raise whatever they trip over
        raise ImageError(path, _reason(error)) from None


def read_header(image: Image.Image) -> Header:
    """Return the header of an image that is not decoded yet."""
    orientation = _orientation(image)
    turned = orientation in (5, 6, 7, 8) and image.format != "TIFF"  # a TIFF's size is told upright already
    width, height = image.size[::-1] if turned else image.size
    return Header(image.format or "", image.mode, width, height, orientation, 2 if _has_several(image) else 1)


def decode(image: Image.Image) -> Image.Image:
    """Return an opened image, itself, decoded and turned upright; ValueError if it is one that we refuse."""
    _check_header(image)
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    return image


def as_rgb(image: Image.Image) -> Image.Image:
    """Return the image as RGB, its alpha dropped."""
    image.info.pop("transparency", None)  # dropped like all alpha; Pillow would warn where it is a palette's
    return image if image.mode == "RGB" else image.convert("RGB")


def to_square(image: Image.Image, size: int) -> Pixels:
    """Return the image as uint8 [size, size, 3], stretched to a square (antialiased bilinear)."""
    return np.array(image.resize((size, size), Image.Resampling.BILINEAR))


def read_squares(paths: Sequence[Path], size: int, *, digests: Sequence[str] = ()) -> Pixels:
    """Return the images as RGB uint8 [N, size, size, 3], decoded by a few threads, in the order of the paths.

    ValueError names an image that can't be read, or whose SHA-256 isn't the one in `digests`, where there are some.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        squares = list(pool.map(partial(_read_square, size=size), paths, digests or repeat("")))
    return np.stack(squares) if squares else np.empty((0, size, size, 3), dtype=np.uint8)


def _read_square(path: Path, digest: str, *, size: int) -> Pixels:
    if not digest:
        return to_square(open_rgb(path), size)
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise ImageError(path, "not the file that the tables describe; run `dvc repro`")
    return to_square(open_rgb(path, content), size)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; 1 for a PNG that we refuse and that tells none before its pixels."""
    if image.format == "PNG" and "exif" not in image.info:
        # EXIF may stand behind the pixels, so that asking for it decodes them and forgets how deep they are.
        try:
            _check_header(image)
        except ValueError:
            return 1
    return int(image.getexif().get(ORIENTATION, 1))


def _check_header(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels, over the cap of {MAX_PIXELS // 1_000_000} megapixels")
    if _has_several(image) and image.format != "MPO":  # an MPO's first frame is the photograph
        raise ValueError("several frames; a single image is expected")
    if isinstance(image, JpegImageFile) and _has_many_scans(image):
        raise ValueError(f"a JPEG of more than {MAX_SCANS} scans, which ordinary ones don't have; save it anew")
    if image.mode in DEEP_MODES or _is_deep_colour(image):
        raise ValueError(f"mode {image.mode} holds more than 8 bits a channel; save it with 8")
    if image.mode == "LAB":
        raise ValueError("mode LAB can't be turned into RGB; save it as RGB")


def _has_several(image: Image.Image) -> bool:
    return bool(getattr(image, "is_animated", False))


def _has_many_scans(image: JpegImageFile) -> bool:
    """Return whether a JPEG has more scans than MAX_SCANS: decoding goes through the whole image for each."""
    if image.fp is None:
        return False
    place = image.fp.tell()
    image.fp.seek(0)
    content = image.fp.read()
    image.fp.seek(place)
    # Counting bytes is quick, but they may stand in metadata, or in a film that a telephone has put behind the picture.
    return content.count(b"\xff" + START_OF_SCAN) > MAX_SCANS and _scans(content) > MAX_SCANS


def _scans(content: bytes) -> int:
    """Return how many scans a decoder finds in a JPEG: it skips segments by their length, and ends with the image."""
    found, place = 0, 0
    while (match := SEGMENT.search(content, place)) and match[1] != END_OF_IMAGE:
        found += match[1] == START_OF_SCAN
        place = match.end() + max(2, int.from_bytes(content[match.end() : match.end() + 2], "big"))
    return found


def _is_deep_colour(image: Image.Image) -> bool:
    """Return whether the file holds more than 8 bits a channel of colour, which Pillow opens as 8 without a word."""
    if image.format == "TIFF":
        return max(getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE, (1,))) > 8
    for tile in getattr(image, "tile", ()):
        given = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        if image.format == "PPM" and tile.codec_name.startswith("ppm"):
            return int(given[-1]) > 255  # the largest value of a channel
        if str(given[0]).endswith(";16B"):  # a PNG's raw mode; a BMP's BGR;16 shares 16 bits between the channels
            return True
    return False


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return NO_MEMORY
    if "cannot identify image file" in str(error):
        return f"not an image of a known format ({', '.join(FORMATS)}); if it is a picture, save it as one of these"
    return str(error) or type(error).__name__
