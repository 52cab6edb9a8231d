"""Pictures with boxes, and tiles of one size to lay side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from localizer.images.decoding import open_rgb

TRUE, PREDICTED = "#00a651", "#e6007e"  # green and magenta: told apart by the colour-blind, too
CASING = "white"  # beside each line, which is else lost in what has its colour
GROUND = "#eeeeee"  # what a tile shows beside its picture
TILE_PX, MARGIN_PX, LINE_PX = 220, 12, 20

Box = Sequence[float]


def draw_boxes(image: Image.Image, boxes_px: Mapping[str, Box]) -> Image.Image:
    """Return a copy of the RGB image with boxes {colour: xyxy in pixels}, their lines cased and fit to its size."""
    picture = image.copy()
    canvas = ImageDraw.Draw(picture)
    width = max(1, round(max(image.size) / 120))
    casing = max(1, width // 3)
    pixels = {colour: _pixels(box_px) for colour, box_px in boxes_px.items()}
    for left, top, right, bottom in pixels.values():
        around = (left - casing, top - casing, right + casing, bottom + casing)
        canvas.rectangle(around, outline=CASING, width=width + 2 * casing)
    for colour, painted in pixels.items():
        canvas.rectangle(painted, outline=colour, width=width)
    return picture


def draw_dashed(picture: Image.Image, box_px: Box, colour: str) -> None:
    """Draw a thin dashed box, xyxy in pixels, on the RGB image itself: along its edge where the box sticks out."""
    canvas = ImageDraw.Draw(picture)
    width = max(1, max(picture.size) // 200)
    sides = zip(box_px, picture.size * 2, strict=True)
    left, top, right, bottom = _pixels([min(max(side, 0), last) for side, last in sides])
    canvas.rectangle((left, top, right, bottom), outline=CASING, width=width)
    inner = width - 1  # Pillow paints the last pixel, too
    for start in range(left, right + 1, 7 * width):
        end = min(start + 4 * width - 1, right)
        canvas.rectangle((start, top, end, top + inner), fill=colour)
        canvas.rectangle((start, max(top, bottom - inner), end, bottom), fill=colour)
    for start in range(top, bottom + 1, 7 * width):
        end = min(start + 4 * width - 1, bottom)
        canvas.rectangle((left, start, left + inner, end), fill=colour)
        canvas.rectangle((max(left, right - inner), start, right, end), fill=colour)


def _pixels(box_px: Box) -> tuple[int, int, int, int]:
    """Return the first and the last pixel of a box, one at least, as Pillow takes them."""
    left, top, right, bottom = (round(side) for side in box_px)
    return left, top, max(left, right - 1), max(top, bottom - 1)


def tile(path: Path, boxes_px: Mapping[str, Box]) -> Image.Image:
    """Return the image with boxes {colour: xyxy in pixels}, enlarged or reduced to fit a square tile, on grey."""
    image = open_rgb(path)
    scale = TILE_PX / max(image.size)
    image = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    scaled = {colour: [side * scale for side in box] for colour, box in boxes_px.items()}
    return ImageOps.pad(draw_boxes(image, scaled), (TILE_PX, TILE_PX), color=GROUND)


def write_text(picture: Image.Image, place: tuple[int, int], text: str, *, size: int = 12) -> None:
    """Write lines of black text, their top left at the place, in the font that Pillow brings along."""
    ImageDraw.Draw(picture).text(place, text, fill="black", font=font(size))


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the font that Pillow brings along: the same on every machine."""
    return ImageFont.load_default(size)
