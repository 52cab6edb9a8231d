"""Decoded images on disk: a file for a list of images at a size, mapped into memory, read as it is needed."""

import hashlib
import mmap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL
from filelock import FileLock
from tqdm import tqdm

from localizer.files import replacing
from localizer.images.decoding import Pixels, read_squares

DECODER = f"RGB, upright, stretched by Pillow {PIL.__version__}"  # another one gives other pixels
KEPT = 8  # files, the last used
AT_ONCE = 256  # images


def load_pixels(paths: Sequence[Path | str], digests: Sequence[str], size: int, *, folder: Path) -> Pixels:
    """Return RGB uint8 [N, size, size, 3] of the images, from the folder's file, which is made where it is missing.

    digests: SHA-256 of the files, which they are compared with when they are decoded; ValueError names one that
    differs. The array is a map of the file, so that it may be larger than memory; writing to it changes no file. Of
    several processes that want the same, one decodes and the others wait for it.
    """
    told = hashlib.sha256(f"{DECODER}\n{size}".encode())
    for digest in digests:
        told.update(f"\n{digest}".encode())
    path = folder / f"{told.hexdigest()[:32]}.rgb"
    shape = (len(paths), size, size, 3)
    if not len(paths):
        return np.empty(shape, np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):  # experiments run at once share the folder
        if not path.is_file() or path.stat().st_size != np.prod(shape, dtype=np.int64):
            _decode(paths, digests, size, path)
        path.touch()
        for old in sorted(folder.glob("*.rgb"), key=lambda file: file.stat().st_mtime)[:-KEPT]:
            old.unlink()
        return np.memmap(path, np.uint8, mode="c", shape=shape)


def release_pages(pixels: Pixels) -> None:
    """Give the memory of a mapped file back to the system, which reads it again where it is needed.

    A process counts every page that it has looked at as its own, up to the whole file. pixels: as `decoded` returned
    them, or a view of them; what was written to them is lost. An array that is no map stays as it is.
    """
    owner = pixels.base
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)


def _decode(paths: Sequence[Path | str], digests: Sequence[str], size: int, path: Path) -> None:
    starts = range(0, len(paths), AT_ONCE)
    with replacing(path) as file, tqdm(total=len(paths), desc="decoding", unit="image", disable=None) as bar:
        for start in starts:
            some = slice(start, start + AT_ONCE)
            squares = read_squares([*map(Path, paths[some])], size, digests=digests[some])
            file.write(squares.tobytes())
            bar.update(len(squares))
