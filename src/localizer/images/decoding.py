"""Decoding images: one rule for all modes and orientations, and the resize to the network's square."""

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
import PIL
from numpy.typing import NDArray
from PIL import Image, ImageOps, features
from PIL.JpegImagePlugin import JpegImageFile

try:
    import pillow_heif
except ImportError:  # the extra `heic`
    pillow_heif = None
else:
    pillow_heif.register_heif_opener()

MAX_PIXELS = 40_000_000
MAX_SCANS = 100  # of a JPEG: encoders write up to a dozen; each takes time for the whole image; libtiff's limit too
THREADS = min(8, (os.cpu_count() or 1) + 1)  # decoding at once: each may need 300 MB, and one may wait for the disk
FORMATS: tuple[str, ...] = (
    *("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM"),  # Pillow's names; its JPEG plugin reads MPO, too
    *(["AVIF"] if features.check("avif") else []),
    *(["HEIF"] if pillow_heif else []),
)
DECODER = f"Pillow {PIL.__version__}" + (f" pillow-heif {pillow_heif.__version__}" if pillow_heif else "")
SUFFIXES = frozenset(suffix for suffix, kind in Image.registered_extensions().items() if kind in FORMATS)
DEEP_MODES = ("I;16", "I;16L", "I;16B", "I", "F")  # more than 8 bits a channel: converting would clip
ORIENTATION, BITS_PER_SAMPLE = 0x0112, 0x0102  # tags of EXIF and TIFF
SEGMENT = re.compile(rb"\xff([\x02-\xcf\xd9-\xfe])")  # start of a JPEG segment; other bytes after 0xff start none
END_OF_IMAGE, START_OF_SCAN = b"\xd9", b"\xda"
PREPROCESSING = "RGB, upright, stretched to a square, antialiased bilinear"  # by `open_rgb` and `to_square`
HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}  # of HEIF with HEVC
OUT_OF_MEMORY = "not enough memory to decode it"

# Pillow warns from 89 megapixels and raises from 179; MAX_PIXELS is lower, and checked before any decoding. Code that
# opens files without `open_image` has no such check.
Image.MAX_IMAGE_PIXELS = None

Pixels = NDArray[np.uint8]


class ImageError(ValueError):
    """An unusable image file; `reason` is the message without the file's name."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.reason = reason


class Header(NamedTuple):
    """An image's metadata, read without decoding; `width` and `height` in pixels of the upright image.

    frames: 1, or 2 for any more: Pillow's time to count a TIFF's frames grows with their square.
    """

    format: str
    mode: str
    width: int
    height: int
    orientation: int
    frames: int


def open_rgb(path: Path, content: bytes | None = None) -> Image.Image:
    """Return the upright image as RGB: gray, palette and CMYK are converted, alpha is dropped."""
    return as_rgb(open_upright(path, content))


def open_upright(path: Path, content: bytes | None = None) -> Image.Image:
    """Return the completely decoded image, in its own mode, with its EXIF orientation applied.

    content: the file's bytes, if already read; `path` then only names the image.
    Raises ImageError: missing, not a regular file, not decodable, over 40 megapixels (before decoding), several frames,
    a JPEG of over 100 scans, more than 8 bits per channel, or colors that have no RGB.
    """
    with open_image(path, content) as image:
        return decode(image)


@contextmanager
def open_image(path: Path, content: bytes | None = None) -> Iterator[Image.Image]:
    """Yield the image, not yet decoded; any error in the block becomes an ImageError with the file's name."""
    try:
        if content is None and path.exists() and not path.is_file():
            raise ValueError("not a regular file")  # opening a FIFO would block
        if (path.stat().st_size if content is None else len(content)) == 0:
            raise ValueError("an empty file")
        with Image.open(path if content is None else BytesIO(content), formats=FORMATS) as image:
            yield image
    except FileNotFoundError:
        raise ImageError(path, "no such file") from None
    except Exception as error:  # Pillow's decoders raise all kinds on broken files
        raise ImageError(path, _reason(error, path, content)) from None


def read_header(image: Image.Image) -> Header:
    """Return the metadata of an image that is not decoded yet."""
    orientation = _orientation(image)
    swapped = orientation in (5, 6, 7, 8) and image.format != "TIFF"  # Pillow's size of a TIFF is upright
    width, height = image.size[::-1] if swapped else image.size
    return Header(image.format or "", image.mode, width, height, orientation, 2 if _has_several(image) else 1)


def decode(image: Image.Image) -> Image.Image:
    """Decode an open image in place and turn it upright; ValueError if it is not supported."""
    _check_header(image)
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    return image


def as_rgb(image: Image.Image) -> Image.Image:
    """Return the image as RGB without alpha."""
    image.info.pop("transparency", None)  # Pillow would warn about a palette's
    return image if image.mode == "RGB" else image.convert("RGB")


def to_square(image: Image.Image, size: int) -> Pixels:
    """Return the image as uint8 [size, size, 3], stretched to a square (antialiased bilinear)."""
    return np.array(image.resize((size, size), Image.Resampling.BILINEAR))


def read_squares(paths: Sequence[Path], size: int, *, digests: Sequence[str] = ()) -> Pixels:
    """Decode images with a few threads; return RGB uint8 [N, size, size, 3] in the order of the paths.

    digests: SHA-256 of the files, optional. ValueError names an image that can't be read, or has another digest.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        squares = list(pool.map(partial(_read_square, size=size), paths, digests or repeat("")))
    return np.stack(squares) if squares else np.empty((0, size, size, 3), dtype=np.uint8)


def _read_square(path: Path, digest: str, *, size: int) -> Pixels:
    if not digest:
        return to_square(open_rgb(path), size)
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise ImageError(path, "changed since `prepare` ran (its SHA-256 differs); run `dvc repro`")
    return to_square(open_rgb(path, content), size)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, from 1 to 8; 1 for an unsupported PNG that has none before its pixels."""
    if image.format == "PNG" and "exif" not in image.info:
        # EXIF may follow the pixels; reading it decodes them, and loses their bit depth.
        try:
            _check_header(image)
        except ValueError:
            return 1
    value = image.getexif().get(ORIENTATION, 1)
    return int(value) if value in range(1, 9) else 1  # Pillow, too, turns nothing for any other


def _check_header(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels, over the limit of {MAX_PIXELS // 1_000_000} megapixels")
    if _has_several(image) and image.format != "MPO":  # an MPO's first frame is the photograph
        raise ValueError("several frames; expected a single image")
    if isinstance(image, JpegImageFile) and _has_many_scans(image):
        raise ValueError(f"a JPEG of more than {MAX_SCANS} scans; save it again with an ordinary encoder")
    if image.mode in DEEP_MODES or _is_deep_color(image):
        raise ValueError(f"mode {image.mode} has more than 8 bits per channel; save it with 8")
    if image.mode == "LAB":
        raise ValueError("mode LAB can't be converted to RGB; save it as RGB")


def _has_several(image: Image.Image) -> bool:
    return bool(getattr(image, "is_animated", False))


def _has_many_scans(image: JpegImageFile) -> bool:
    """Return whether a JPEG has more scans than MAX_SCANS: decoding passes over the whole image for each."""
    if image.fp is None:
        return False
    place = image.fp.tell()
    image.fp.seek(0)
    content = image.fp.read()
    image.fp.seek(place)
    # Counting bytes is quick, but finds those in metadata, and in a video that a phone has appended to the image.
    return content.count(b"\xff" + START_OF_SCAN) > MAX_SCANS and _scans(content) > MAX_SCANS


def _scans(content: bytes) -> int:
    """Return the number of scans up to the end of the image; segments are skipped by their length."""
    scans, place = 0, 0
    while (match := SEGMENT.search(content, place)) and match[1] != END_OF_IMAGE:
        scans += match[1] == START_OF_SCAN
        place = match.end() + max(2, int.from_bytes(content[match.end() : match.end() + 2], "big"))
    return scans


def _is_deep_color(image: Image.Image) -> bool:
    """Return whether the file has more than 8 bits per color channel, which Pillow silently reduces to 8."""
    if image.format == "TIFF":
        return max(getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE, (1,))) > 8
    for tile in getattr(image, "tile", ()):
        args = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        if image.format == "PPM" and tile.codec_name.startswith("ppm"):
            return int(args[-1]) > 255  # the largest value of a channel
        if str(args[0]).endswith(";16B"):  # a PNG's raw mode; a BMP's BGR;16 has 16 bits for all channels
            return True
    return False


def _reason(error: Exception, path: Path, content: bytes | None) -> str:
    if isinstance(error, MemoryError):
        return OUT_OF_MEMORY
    if "cannot identify image file" in str(error):
        if "HEIF" not in FORMATS and _is_heic(path, content):
            return "a HEIC image; install pillow-heif, or convert it"
        return f"not an image of a supported format ({', '.join(FORMATS)}); convert it to one of these"
    return str(error) or type(error).__name__


def _is_heic(path: Path, content: bytes | None) -> bool:
    """Return whether a file begins with the brands of a HEIC image."""
    with path.open("rb") if content is None else BytesIO(content) as file:
        start = file.read(256)
    size = min(int.from_bytes(start[:4], "big"), len(start))
    return start[4:8] == b"ftyp" and any(start[at : at + 4] in HEIC_BRANDS for at in range(8, size, 4))
