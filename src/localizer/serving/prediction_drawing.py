"""PNG drawings of predicted boxes: which file each image's drawing is, and writing it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from PIL.PngImagePlugin import PngInfo

from localizer.drawing import PREDICTED_COLOR, draw_boxes, draw_dashed
from localizer.files import check_writable, replace_file
from localizer.images.decoding import ImageError, open_image, open_rgb
from localizer.predictor import FailedImage, Prediction

if TYPE_CHECKING:
    from localizer.serving.image_inputs import ImageInput

PNG_TAG = ("Software", "localizer predict")  # marks a drawing, which `predict` may overwrite and doesn't take as input


def drawing_paths(images: "Sequence[ImageInput]", folder: Path) -> dict[Path, Path]:
    """Return the path of each image's drawing: its relative path below the folder, as .png.

    Images that differ only in their suffix keep it: a.jpg.png. ValueError if the folder can't be written to, or if a
    drawing would overwrite another one, an image, or a file that is no drawing.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--draw {folder}: not a folder; name another")
    relative_paths = {image.path: image.relative_path for image in images if not image.error}
    drawings = {image: folder / path for image, path in _as_png(relative_paths).items()}
    image_ids = file_ids(relative_paths)
    for path in drawings.values():
        existing = file_ids([path])
        if existing & image_ids:
            raise ValueError(f"--draw {folder}: {path} is one of the images; name another folder")
        if existing and not is_drawing(path):
            raise ValueError(f"--draw {folder}: {path} exists and was not drawn by predict; name another folder")
    check_writable(folder)
    return drawings


def draw_all(
    predictions: Iterable[Prediction | FailedImage],
    images: "Sequence[ImageInput]",
    drawings: Mapping[Path, Path],
    *,
    with_margin: bool,
) -> Iterator[Prediction | FailedImage]:
    """Draw each prediction and yield it; a failure if the image can't be read again or the drawing not be written.

    A drawing is the image with the predicted box and, with_margin, dashed, the box enlarged by its margin.
    """
    for image, prediction in zip(images, predictions, strict=True):
        try:
            if isinstance(prediction, Prediction):
                _draw(prediction, image.path, drawings[image.path], with_margin=with_margin)
            yield prediction
        except ImageError as error:
            yield FailedImage(image.name, f"can't be drawn: {error.reason}")
        except OSError as error:
            yield FailedImage(image.name, f"can't be drawn: {error.strerror or error}")


def _draw(prediction: Prediction, image: Path, drawing: Path, *, with_margin: bool) -> None:
    rgb = open_rgb(image)
    if with_margin:
        (xmin, ymin, xmax, ymax), margin = prediction.box_xyxy_px, prediction.margin_px
        draw_dashed(rgb, (xmin - margin, ymin - margin, xmax + margin, ymax + margin), PREDICTED_COLOR)
    content, tags = BytesIO(), PngInfo()
    tags.add_text(*PNG_TAG)
    draw_boxes(rgb, {PREDICTED_COLOR: prediction.box_xyxy_px}).save(content, "PNG", pnginfo=tags)
    replace_file(drawing, content.getvalue())


def _as_png(relative_paths: Mapping[Path, PurePath]) -> dict[Path, PurePath]:
    counts = Counter(path.with_suffix(".png") for path in relative_paths.values())
    images: dict[PurePath, Path] = {}
    for image, path in relative_paths.items():
        png = path.with_suffix(".png")
        unique = png if counts[png] == 1 else path.with_name(f"{path.name}.png")
        if unique in images:
            raise ValueError(
                f"--draw: two images of the same name, {images[unique]} and {image}; draw them into two folders"
            )
        images[unique] = image
    return {image: path for path, image in images.items()}


def file_ids(paths: Iterable[Path]) -> set[tuple[int, int]]:
    """Return device and inode of the files that exist: the same for all names and links of one file."""
    ids = set()
    for path in paths:
        with suppress(OSError, ValueError):
            status = path.stat()
            ids.add((status.st_dev, status.st_ino))
    return ids


def is_drawing(path: Path) -> bool:
    """Return whether `draw_all` wrote the file."""
    if path.suffix != ".png":
        return False
    try:
        with open_image(path) as image:
            return image.info.get(PNG_TAG[0]) == PNG_TAG[1]
    except ImageError:
        return False
