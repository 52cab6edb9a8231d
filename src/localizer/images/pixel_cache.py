"""The pixel cache: decoded images on disk, one memory-mapped file per list of images and size."""

import hashlib
import mmap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock
from tqdm import tqdm

from localizer.files import replacing
from localizer.images.decoding import DECODER, Pixels, read_squares

KEPT = 8  # files, the most recently used
CHUNK = 256  # images decoded at a time


def load_pixels(paths: Sequence[Path | str], digests: Sequence[str], size: int, *, folder: Path) -> Pixels:
    """Return the images as RGB uint8 [N, size, size, 3], memory-mapped from a file of `folder`, decoded if missing.

    digests: SHA-256 of the image files; ValueError names one that differs at decoding. The array may be larger than
    memory; writing to it does not change the file. Of several processes one decodes, the others wait.
    """
    key = hashlib.sha256(f"RGB, upright, stretched by {DECODER}\n{size}".encode())  # pixels depend on it
    for digest in digests:
        key.update(f"\n{digest}".encode())
    path = folder / f"{key.hexdigest()[:32]}.rgb"
    shape = (len(paths), size, size, 3)
    if not len(paths):
        return np.empty(shape, np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):  # concurrent experiments share the folder
        if not path.is_file() or path.stat().st_size != np.prod(shape, dtype=np.int64):
            _decode(paths, digests, size, path)
        path.touch()
        for old in sorted(folder.glob("*.rgb"), key=lambda file: file.stat().st_mtime)[:-KEPT]:
            old.unlink()
        return np.memmap(path, np.uint8, mode="c", shape=shape)


def release_pages(pixels: Pixels) -> None:
    """Return the pages of a memory-mapped file to the system; later reads load them again.

    Otherwise every page read counts as memory of the process, up to the whole file. pixels: an array of `load_pixels`,
    or a view of it; writes to it are lost. Other arrays are left alone.
    """
    owner = pixels.base
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)


def _decode(paths: Sequence[Path | str], digests: Sequence[str], size: int, path: Path) -> None:
    starts = range(0, len(paths), CHUNK)
    with replacing(path) as file, tqdm(total=len(paths), desc="decoding", unit="image", disable=None) as bar:
        for start in starts:
            chunk = slice(start, start + CHUNK)
            squares = read_squares([*map(Path, paths[chunk])], size, digests=digests[chunk])
            file.write(squares.tobytes())
            bar.update(len(squares))
