"""Decoded images on disk: a file for a list of images at a size, mapped into memory, read as it is needed."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL
from tqdm import tqdm

from localizer.data.images import Pixels, read_squares
from localizer.files import replacing

DECODER = f"RGB, upright, stretched by Pillow {PIL.__version__}"  # another one gives other pixels
KEPT = 8  # files, the last used
AT_ONCE = 256  # images


def decoded(paths: Sequence[Path], digests: Sequence[str], size: int, *, folder: Path) -> Pixels:
    """Return RGB uint8 [N, size, size, 3] of the images, from the folder's file, which is made where it is missing.

    digests: SHA-256 of the files, which they are compared with when they are decoded; ValueError names one that
    differs. The array is a map of the file, so that it may be larger than memory; writing to it changes no file.
    """
    told = "\n".join([DECODER, str(size), *digests])
    path = folder / f"{hashlib.sha256(told.encode()).hexdigest()[:32]}.rgb"
    shape = (len(paths), size, size, 3)
    if not path.is_file() or path.stat().st_size != np.prod(shape, dtype=np.int64):
        _decode(paths, digests, size, path)
    path.touch()
    for old in sorted(folder.glob("*.rgb"), key=lambda file: file.stat().st_mtime)[:-KEPT]:
        old.unlink(missing_ok=True)
    return np.memmap(path, np.uint8, mode="c", shape=shape) if len(paths) else np.empty(shape, np.uint8)


def _decode(paths: Sequence[Path], digests: Sequence[str], size: int, path: Path) -> None:
    starts = range(0, len(paths), AT_ONCE)
    with replacing(path) as file, tqdm(total=len(paths), desc="decoding", unit="image", disable=None) as bar:
        for start in starts:
            some = slice(start, start + AT_ONCE)
            file.write(read_squares(paths[some], size, digests=digests[some]).tobytes())
            bar.update(len(paths[some]))
