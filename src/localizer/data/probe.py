"""Facts of image files: whether they are there and decode, true size, orientation, content hash."""

import hashlib
import posixpath
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
from PIL import Image
from tqdm import tqdm

from localizer.data.images import FORMATS, ImageError, open_upright

ORIENTATION = 0x0112  # the EXIF tag
NOT_A_FILE_NAME = re.compile(r"^([A-Za-z]:|[a-z]+://|[\\/])|\\|[\x00-\x1f]")
SUFFIXES = {suffix for suffix, kind in Image.registered_extensions().items() if kind in FORMATS}


@dataclass(frozen=True)
class ImageFacts:
    """One image: `width` and `height` in pixels when upright, 0 if unknown; `problem` is empty if it decodes."""

    image: str
    path: str
    annotated: bool
    exists: bool = False
    decodes: bool = False
    problem: str = ""
    width: int = 0
    height: int = 0
    mode: str = ""
    orientation: int = 1
    frames: int = 0
    bytes: int = 0
    sha256: str = ""


def probe_images(folder: Path, annotated: Iterable[str]) -> pd.DataFrame:
    """Return the facts, a row an image, of all that are annotated and of the other image files in the folder."""
    names = dict.fromkeys(annotated, True)
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            # A name that isn't UTF-8 becomes one with backslashes, which is refused by name below.
            name = path.relative_to(folder).as_posix().encode("utf-8", "backslashreplace").decode()
            names.setdefault(name, False)
    with ThreadPoolExecutor() as pool:
        facts = pool.map(lambda item: probe_image(folder, item[0], annotated=item[1]), names.items())
        rows = [asdict(one) for one in tqdm(facts, total=len(names), unit="image", desc="probe", disable=None)]
    return pd.DataFrame(rows, columns=list(ImageFacts.__dataclass_fields__))


def probe_image(folder: Path, name: str, *, annotated: bool) -> ImageFacts:
    """Return the facts of one image, named relative to the folder; what is wrong is in `problem`."""
    path = folder / name
    facts = ImageFacts(name, path.as_posix(), annotated)
    problem = _refused(folder, name)
    if problem:
        return replace(facts, problem=problem)
    content = path.read_bytes()
    facts = replace(facts, exists=True, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    facts = replace(facts, **_header(path))
    try:
        upright = open_upright(path)
    except ImageError as error:
        return replace(facts, problem=error.reason)
    return replace(facts, decodes=True, width=upright.width, height=upright.height)


def _refused(folder: Path, name: str) -> str:
    """Return why a name is not that of a readable file in the folder, or nothing."""
    if ".." in PurePosixPath(name).parts:
        return "outside the images folder"
    if not name or NOT_A_FILE_NAME.search(name) or posixpath.normpath(name) != name:
        return "not a plain path relative to the images folder"
    try:
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            return "outside the images folder"
        if not path.exists():
            return "no such file"
        if not path.is_file():
            return "not a regular file"
        path.open("rb").close()
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        return getattr(error, "strerror", None) or "a loop of links"
    return ""


def _header(path: Path) -> dict[str, Any]:
    """Return what the file's header says, without decoding it; nothing where that is not an image's."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            orientation = int(image.getexif().get(ORIENTATION, 1))
            turned = orientation in (5, 6, 7, 8)
            width, height = image.size[::-1] if turned else image.size
            frames = getattr(image, "n_frames", 1)
            return {
                "width": width,
                "height": height,
                "mode": image.mode,
                "orientation": orientation,
                "frames": frames,
            }
    except Exception:  # as in `open_upright`, which tells what is wrong
        return {}
