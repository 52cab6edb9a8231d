"""Pictures of answers: where each is written, and what is drawn."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from localizer.data.expanding import Named
    from localizer.predictor import Prediction

WIDER = "#56b4e9"  # light blue, around the box's magenta: told apart by the colour-blind, too
SIGN = ("Software", "localizer predict")  # in the PNG: what may be overwritten by the same command


def places(images: "Sequence[Named]", folder: Path) -> dict[Path, Path]:
    """Return where each image is drawn: by its name, below the sub-folders of a folder that was asked for.

    Images of one place that differ in their suffix keep it: a.jpg.png. Raises ValueError, before anything is drawn,
    where a picture would be over another, over one of the images, or over a file that was not drawn here.
    """
    inside = {one.path: one.inside for one in images if not one.error}
    places = {path: folder / place for path, place in _apart(inside).items()}
    own = identities(inside)
    for place in places.values():
        if identities([place]) & own:
            raise ValueError(f"--draw {folder}: {place} is one of the images; name another folder")
        if place.exists() and not _is_drawing(place):
            raise ValueError(f"--draw {folder}: {place} is there, and was not drawn by predict; name another folder")
    return places


def draw(answer: "Prediction", path: Path, place: Path, *, wider_px: float | None) -> None:
    """Write the image's picture with its box as a PNG, and around it the box larger by so much, as a thin line."""
    from PIL import ImageDraw
    from PIL.PngImagePlugin import PngInfo

    from localizer.data.drawing import PREDICTED, draw_boxes
    from localizer.data.images import open_rgb
    from localizer.files import replace_file

    picture = open_rgb(path)
    if wider_px is not None:
        xmin, ymin, xmax, ymax = answer.box_xyxy_px
        left, top = max(0, round(xmin - wider_px)), max(0, round(ymin - wider_px))
        right, bottom = (
            min(round(side + wider_px), end) - 1 for side, end in zip((xmax, ymax), picture.size, strict=True)
        )
        outline = [(left, top), (max(left, right), max(top, bottom))]
        ImageDraw.Draw(picture).rectangle(outline, outline=WIDER, width=max(1, max(picture.size) // 400))
    content, sign = BytesIO(), PngInfo()
    sign.add_text(*SIGN)
    draw_boxes(picture, {PREDICTED: answer.box_xyxy_px}).save(content, "PNG", pnginfo=sign)
    replace_file(place, content.getvalue())


def _apart(inside: Mapping[Path, PurePath]) -> dict[Path, PurePath]:
    plain = {path: place.with_name(f"{place.stem}.png") for path, place in inside.items()}
    shared = {place for place, number in Counter(plain.values()).items() if number > 1}
    whole = {path: place.with_name(f"{place.name}.png") for path, place in inside.items()}
    chosen = {path: whole[path] if place in shared else place for path, place in plain.items()}
    twice = [place for place, number in Counter(chosen.values()).items() if number > 1]
    if twice:
        one, other, *_ = (path for path, place in chosen.items() if place == twice[0])
        raise ValueError(f"--draw: two images of the same name, {one} and {other}; draw them into two folders")
    return chosen


def identities(paths: Iterable[Path]) -> set[tuple[int, int]]:
    """Return what tells files apart, whatever names lead to them; nothing of one that isn't there."""
    found = set()
    for path in paths:
        with suppress(OSError, ValueError):
            told = path.stat()
            found.add((told.st_dev, told.st_ino))
    return found


def _is_drawing(place: Path) -> bool:
    from localizer.data.images import ImageError, opened

    try:
        with opened(place) as image:
            return image.info.get(SIGN[0]) == SIGN[1]
    except ImageError:
        return False
