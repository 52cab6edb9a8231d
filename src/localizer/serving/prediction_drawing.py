"""Pictures of answers: where each is written, and what is drawn."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from localizer.predictor import Prediction
    from localizer.serving.image_inputs import Named

SIGN = ("Software", "localizer predict")  # in the PNG: what the same command may overwrite, and takes for no image


def places(images: "Sequence[Named]", folder: Path) -> dict[Path, Path]:
    """Return where each image is drawn: by its name, below the sub-folders of a folder that was asked for.

    Images of one place that differ in their suffix keep it: a.jpg.png. Raises ValueError, before anything is drawn,
    where a picture would be over another, over one of the images, or over a file that was not drawn here.
    """
    inside = {one.path: one.inside for one in images if not one.error}
    places = {path: folder / place for path, place in _apart(inside).items()}
    own = identities(inside)
    for place in places.values():
        there = identities([place])
        if there & own:
            raise ValueError(f"--draw {folder}: {place} is one of the images; name another folder")
        if there and not is_drawing(place):
            raise ValueError(f"--draw {folder}: {place} is there, and was not drawn by predict; name another folder")
    return places


def draw(answer: "Prediction", path: Path, place: Path, *, wider_px: float | None) -> None:
    """Write the image's picture with its box as a PNG, and around it the box larger by so much, dashed."""
    from PIL.PngImagePlugin import PngInfo

    from localizer.drawing import PREDICTED, draw_boxes, draw_dashed
    from localizer.files import replace_file
    from localizer.images.decoding import open_rgb

    picture = open_rgb(path)
    if wider_px is not None:
        xmin, ymin, xmax, ymax = answer.box_xyxy_px
        wider = (xmin - wider_px, ymin - wider_px, xmax + wider_px, ymax + wider_px)
        draw_dashed(picture, wider, PREDICTED)
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


def is_drawing(place: Path) -> bool:
    """Return whether a file is a picture that `draw` wrote."""
    from localizer.images.decoding import ImageError, open_image

    if place.suffix != ".png":
        return False
    try:
        with open_image(place) as image:
            return image.info.get(SIGN[0]) == SIGN[1]
    except ImageError:
        return False
