"""Metadata of image files: whether they exist and decode, true size, orientation, and hashes of content and looks."""

import hashlib
import json
import os
import posixpath
import re
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import cache as cache_of
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from localizer.images.decoding import DECODER, OUT_OF_MEMORY, SUFFIXES, ImageError, decode, open_image, read_header
from localizer.probing.cache import ProbeCache
from localizer.probing.duplicates import perceptual_hash
from localizer.probing.file_names import as_utf8, difference, folded, last_part, names_alike, names_below
from localizer.progress import with_progress

NOT_A_FILE_NAME = re.compile(r"^([A-Za-z]:|[a-z]+://|[\\/])|\\|[\x00-\x1f]")
NO_FILE = "no such file"
MAX_BYTES = 512_000_000
BATCH = 16  # images per task of a thread: handing them over one by one costs a fifth of decoding
MAX_PENDING = 16  # tasks at once
CHUNK = 50_000  # rows turned into a table at a time
VERSION = 5  # of the probe: raise it to invalidate the cache


@dataclass(frozen=True)
class ImageMetadata:
    """One image: `width` and `height` in pixels when upright, 0 if unknown; `problem` is empty if it decodes.

    `format` and `mode` are Pillow's names; `frames` is 1, or 2 for several; `phash`: see `perceptual_hash`.
    """

    image: str
    path: str
    annotated: bool
    exists: bool = False
    decodes: bool = False
    problem: str = ""
    width: int = 0
    height: int = 0
    mode: str = ""
    format: str = ""
    orientation: int = 1
    frames: int = 0
    bytes: int = 0
    sha256: str = ""
    phash: str = ""


COLUMNS = [field.name for field in fields(ImageMetadata)]


def probe_images(folder: Path, annotated: Iterable[str], *, cache: Path | None = None) -> pd.DataFrame:
    """Return the metadata, one row per image, of all annotated images and of the other image files in the folder.

    cache: the folder of a `ProbeCache`, which changes nothing but the time.
    """
    names = dict.fromkeys(annotated, True)
    for name in names_below(folder):
        # Unlike `Path.is_file`, it does not raise at a link into a folder without permission.
        if PurePosixPath(name).suffix.lower() in SUFFIXES and os.path.isfile(folder / name):  # noqa: PTH113
            # A name that isn't UTF-8 becomes one with backslashes, which `_content` refuses.
            names.setdefault(as_utf8(name), False)
    alike = cache_of(lambda: names_alike(list(names_below(folder))))  # large, and hardly ever needed
    with ProbeCache(cache) as known, ThreadPoolExecutor(os.cpu_count()) as pool:

        def probe(name: str, annotated: bool) -> ImageMetadata:
            return probe_image(folder, name, annotated=annotated, known=known)

        found = with_progress(_in_order(pool, probe, names.items()), total=len(names), description="images")
        return _table(_with_hint(metadata, alike) for metadata in found)


def _table(images: Iterator[ImageMetadata]) -> pd.DataFrame:
    """Return one row per image; in chunks, since Python's own objects take four times the memory."""
    chunks = []
    while chunk := [tuple(vars(metadata).values()) for metadata in islice(images, CHUNK)]:
        chunks.append(pd.DataFrame(chunk, columns=COLUMNS))
    return pd.concat(chunks, ignore_index=True) if chunks else pd.DataFrame(columns=COLUMNS)


def probe_image(folder: Path, name: str, *, annotated: bool, known: ProbeCache | None = None) -> ImageMetadata:
    """Return the metadata of one image, named relative to the folder; `problem` says what is wrong with it."""
    metadata = ImageMetadata(name, (folder / name).as_posix(), annotated)
    try:
        content = _content(folder, name)
    except (OSError, ValueError, MemoryError) as error:
        return replace(metadata, problem=_reason(error))
    sha256 = hashlib.sha256(content).hexdigest()
    # All that the result depends on: the content, the decoder, and this code.
    key = f"{sha256} {DECODER} probe {VERSION} {' '.join(COLUMNS)}"
    cached = known.get(key) if known else None
    values = json.loads(cached) if cached is not None else _decode(folder / name, content)
    if known and cached is None and values.get("problem") != OUT_OF_MEMORY:  # which is the machine's, not the file's
        known.put(key, json.dumps(values))
    return replace(metadata, exists=True, bytes=len(content), sha256=sha256, **values)


def _decode(path: Path, content: bytes) -> dict[str, Any]:
    """Return the fields of `ImageMetadata` that depend on the content alone and differ from the defaults."""
    values: dict[str, Any] = {}
    try:
        with open_image(path, content) as image:
            values |= read_header(image)._asdict()
            upright = decode(image)
            phash = perceptual_hash(upright)
    except ImageError as error:
        return values | {"problem": error.reason}
    return values | {"decodes": True, "width": upright.width, "height": upright.height, "phash": phash}


def _content(folder: Path, name: str) -> bytes:
    """Return the bytes of a regular file inside the folder; ValueError or OSError if the name is not one's."""
    if ".." in name.split("/"):
        raise ValueError("outside the images folder")
    if not name or NOT_A_FILE_NAME.search(name) or posixpath.normpath(name) != name:
        raise ValueError("not a plain path relative to the images folder")
    place = _real_place(folder, name)
    _check_regular(place.lstat())
    # A link or a FIFO that replaced it since is neither followed nor waited for.
    descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        size = _check_regular(os.fstat(descriptor)).st_size
        content = os.read(descriptor, size + 1)
    finally:
        os.close(descriptor)
    if len(content) != size:
        raise ValueError(f"{len(content)} of {size} bytes could be read; is it being written?")
    return content


def _real_place(folder: Path, name: str) -> Path:
    """Return a file's path with links resolved; ValueError if that is outside the folder."""
    place = folder / name
    if not any(path.is_symlink() for path in [place, *place.parents[: name.count("/")]]):
        return place  # nearly always, and four times as fast as the real path
    real = Path(os.path.realpath(place))
    if not real.is_relative_to(os.path.realpath(folder)):
        raise ValueError("outside the images folder")
    return real


def _check_regular(status: os.stat_result) -> os.stat_result:
    if stat.S_ISLNK(status.st_mode):
        raise ValueError("a loop of links")  # which `realpath` does not resolve
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("not a regular file")
    if status.st_size > MAX_BYTES:
        raise ValueError(f"{status.st_size / 1e6:.0f} megabytes, over the limit of {MAX_BYTES // 1_000_000}")
    return status


def _reason(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return NO_FILE
    if isinstance(error, MemoryError):
        return "not enough memory to read it"
    return getattr(error, "strerror", None) or str(error)


def _in_order(
    pool: ThreadPoolExecutor, work: Callable[[str, bool], ImageMetadata], items: Iterable[tuple[str, bool]]
) -> Iterator[ImageMetadata]:
    """Yield the results in the order of the items; MAX_PENDING tasks at once."""
    rest = iter(items)
    pending: deque[Future[list[ImageMetadata]]] = deque()
    while batch := list(islice(rest, BATCH)):
        pending.append(pool.submit(lambda batch: [work(*item) for item in batch], batch))
        if len(pending) >= MAX_PENDING:
            yield from pending.popleft().result()
    while pending:
        yield from pending.popleft().result()


def _with_hint(metadata: ImageMetadata, alike: Callable[[], Mapping[str, str]]) -> ImageMetadata:
    """Return the metadata, of a missing file with the name of one that differs only in spelling or folder."""
    if metadata.exists:
        return metadata
    other, hint = alike().get(folded(metadata.image)), ""
    if other is None:
        other, hint = alike().get(last_part(metadata.image)), "has the same last part"
    elif metadata.problem == NO_FILE:
        hint = f"differs in {difference(metadata.image, other)}"
    if other in (None, metadata.image) or not hint:
        return metadata
    return replace(metadata, problem=f"{metadata.problem}; there is {as_utf8(str(other))!r}, which {hint}")
