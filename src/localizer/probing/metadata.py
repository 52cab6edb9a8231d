"""Facts of image files: whether they are there and decode, true size, orientation, content and looks."""

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
import PIL
from tqdm import tqdm

from localizer.images.decoding import OUT_OF_MEMORY, SUFFIXES, ImageError, decode, open_image, read_header
from localizer.probing.cache import ProbeCache
from localizer.probing.duplicates import perceptual_hash
from localizer.probing.file_names import as_utf8, difference, folded, last_part, names_alike, names_below

NOT_A_FILE_NAME = re.compile(r"^([A-Za-z]:|[a-z]+://|[\\/])|\\|[\x00-\x1f]")
NO_FILE = "no such file"
MAX_BYTES = 512_000_000
PORTION = 16  # images that a thread takes at a time: one by one, handing them over costs a fifth of decoding
AHEAD = 16  # portions that are under way at once
ROWS = 50_000  # of the table that are made at a time
VERSION = 3  # of what `Decoded` means: raise it and what the cache knows is forgotten


@dataclass(frozen=True)
class Decoded:
    """What the bytes of a file say, whatever its name: see `ImageMetadata`."""

    decodes: bool = False
    problem: str = ""
    width: int = 0
    height: int = 0
    mode: str = ""
    format: str = ""
    orientation: int = 1
    frames: int = 0
    phash: str = ""


@dataclass(frozen=True)
class ImageMetadata:
    """One image: `width` and `height` in pixels when upright, 0 if unknown; `problem` is empty if it decodes.

    `format` and `mode` are Pillow's names; `frames` is 1, or 2 for several; `phash` tells what it looks like, see
    `perceptual_hash`.
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


def probe_images(folder: Path, annotated: Iterable[str], *, cache: Path | None = None) -> pd.DataFrame:
    """Return the facts, a row an image, of all that are annotated and of the other image files in the folder.

    cache: a folder that keeps what is known of contents, see `ProbeCache`; it changes the time and no fact.
    """
    names = dict.fromkeys(annotated, True)
    for name in names_below(folder):
        if PurePosixPath(name).suffix.lower() in SUFFIXES and _is_file(folder / name):
            # A name that isn't UTF-8 becomes one with backslashes, which is refused by name below.
            names.setdefault(as_utf8(name), False)
    alike = cache_of(lambda: names_alike(list(names_below(folder))))  # large, and hardly ever needed
    with ProbeCache(cache) as known, ThreadPoolExecutor(os.cpu_count()) as pool:

        def work(name: str, annotated: bool) -> ImageMetadata:
            return probe_image(folder, name, annotated=annotated, known=known)

        found = tqdm(_in_order(pool, work, names.items()), total=len(names), unit="image", desc="probe", disable=None)
        return _table(_with_hint(facts, alike) for facts in found)


def _table(found: Iterator[ImageMetadata]) -> pd.DataFrame:
    """Return a row an image; a portion at a time, since Python's own objects take four times the memory."""
    columns = [field.name for field in fields(ImageMetadata)]
    portions = []
    while portion := [tuple(vars(facts).values()) for facts in islice(found, ROWS)]:
        portions.append(pd.DataFrame(portion, columns=columns))
    return pd.concat(portions, ignore_index=True) if portions else pd.DataFrame(columns=columns)


def probe_image(folder: Path, name: str, *, annotated: bool, known: ProbeCache | None = None) -> ImageMetadata:
    """Return the facts of one image, named relative to the folder; what is wrong is in `problem`."""
    path = folder / name
    try:
        content = _content(folder, name)
    except (OSError, ValueError, MemoryError) as error:
        return ImageMetadata(name, path.as_posix(), annotated, problem=_reason(error))
    sha256 = hashlib.sha256(content).hexdigest()
    decoded = _decode(path, content) if known is None else _remembered(path, content, sha256, known)
    found: dict[str, Any] = {"exists": True, "bytes": len(content), "sha256": sha256}
    return ImageMetadata(name, path.as_posix(), annotated, **found, **vars(decoded))


def _content(folder: Path, name: str) -> bytes:
    """Return the bytes of a regular file inside the folder; ValueError or OSError where the name isn't that of one."""
    if ".." in name.split("/"):
        raise ValueError("outside the images folder")
    if not name or NOT_A_FILE_NAME.search(name) or posixpath.normpath(name) != name:
        raise ValueError("not a plain path relative to the images folder")
    place = _real_place(folder, name)
    _check(place.lstat())
    # Should a link or a FIFO have taken its place just now, it is neither followed nor waited for.
    descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        size = _check(os.fstat(descriptor)).st_size
        content = os.read(descriptor, size + 1)
    finally:
        os.close(descriptor)
    if len(content) != size:
        raise ValueError(f"{len(content)} of {size} bytes could be read; is it being written?")
    return content


def _real_place(folder: Path, name: str) -> Path:
    """Return where a file is once links are followed; ValueError if that is outside the folder."""
    place = folder / name
    if not any(path.is_symlink() for path in [place, *place.parents[: name.count("/")]]):
        return place  # as it is of nearly all, and four times as quick as the real path
    real = Path(os.path.realpath(place))
    if not real.is_relative_to(os.path.realpath(folder)):
        raise ValueError("outside the images folder")
    return real


def _check(status: os.stat_result) -> os.stat_result:
    if stat.S_ISLNK(status.st_mode):
        raise ValueError("a loop of links")  # what a real path does not resolve
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("not a regular file")
    if status.st_size > MAX_BYTES:
        megabytes = status.st_size / 1e6
        raise ValueError(f"{megabytes:.0f} megabytes, over the cap of {MAX_BYTES // 1_000_000}")
    return status


def _reason(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return NO_FILE
    if isinstance(error, MemoryError):
        return "not enough memory to read it"
    return getattr(error, "strerror", None) or str(error)


def _remembered(path: Path, content: bytes, sha256: str, known: ProbeCache) -> Decoded:
    """Return what the content says, from the cache if it is known there."""
    # All that the facts depend on: the content, the decoder, and what we ask of it.
    key = f"{sha256} Pillow {PIL.__version__} probe {VERSION} {' '.join(vars(Decoded()))}"
    text = known.get(key)
    if text is not None:
        return Decoded(**json.loads(text))
    decoded = _decode(path, content)
    if decoded.problem != OUT_OF_MEMORY:  # which is the machine's, not the file's
        known.put(key, json.dumps(vars(decoded)))
    return decoded


def _decode(path: Path, content: bytes) -> Decoded:
    found = Decoded()
    try:
        with open_image(path, content) as image:
            found = Decoded(**read_header(image)._asdict())
            upright = decode(image)
            phash = perceptual_hash(upright)
    except ImageError as error:
        return replace(found, problem=error.reason)
    return replace(found, decodes=True, width=upright.width, height=upright.height, phash=phash)


def _in_order(
    pool: ThreadPoolExecutor, work: Callable[[str, bool], ImageMetadata], items: Iterable[tuple[str, bool]]
) -> Iterator[ImageMetadata]:
    """Yield the results in the order of the items; AHEAD portions are under way at most."""
    rest = iter(items)
    under_way: deque[Future[list[ImageMetadata]]] = deque()
    while portion := list(islice(rest, PORTION)):
        under_way.append(pool.submit(lambda portion: [work(*item) for item in portion], portion))
        if len(under_way) >= AHEAD:
            yield from under_way.popleft().result()
    while under_way:
        yield from under_way.popleft().result()


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a link into a folder that is closed to us
        return False


def _with_hint(facts: ImageMetadata, alike: Callable[[], Mapping[str, str]]) -> ImageMetadata:
    """Return the facts, with the name of a file that differs only in how its letters are written, or in its folder."""
    if facts.exists or not facts.problem:
        return facts
    there, differs = alike().get(folded(facts.image)), ""
    if there is None:
        there, differs = alike().get(last_part(facts.image)), "has the same last part"
    elif facts.problem == NO_FILE:
        differs = f"differs in {difference(facts.image, there)}"
    if there in (None, facts.image) or not differs:
        return facts
    return replace(facts, problem=f"{facts.problem}; there is {as_utf8(str(there))!r}, which {differs}")
