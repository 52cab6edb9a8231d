"""Drawing boxes on images, and tiles of one size for contact sheets."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from localizer.images.decoding import open_rgb

TRUE_COLOR, PREDICTED_COLOR = "#00a651", "#e6007e"  # green and magenta: distinct for color-blind people, too
CASING = "white"  # around each line, so that it shows on a background of its color
BACKGROUND = "#eeeeee"  # of a tile
TILE_PX, MARGIN_PX, LINE_PX = 220, 12, 20

Box = Sequence[float]


def draw_boxes(image: Image.Image, boxes_px: Mapping[str, Box]) -> Image.Image:
    """Return a copy of the RGB image with boxes {color: xyxy in pixels}; lines are cased, their width fits its size."""
    picture = image.copy()
    canvas = ImageDraw.Draw(picture)
    width = max(1, round(max(image.size) / 120))
    casing = max(1, width // 3)
    pixels = {color: _pixels(box_px) for color, box_px in boxes_px.items()}
    for left, top, right, bottom in pixels.values():
        around = (left - casing, top - casing, right + casing, bottom + casing)
        canvas.rectangle(around, outline=CASING, width=width + 2 * casing)
    for color, painted in pixels.items():
        canvas.rectangle(painted, outline=color, width=width)
    return picture


def draw_dashed(picture: Image.Image, box_px: Box, color: str) -> None:
    """Draw a thin dashed box, xyxy in pixels, onto the RGB image, clipped to it."""
    canvas = ImageDraw.Draw(picture)
    width = max(1, max(picture.size) // 200)
    sides = zip(box_px, picture.size * 2, strict=True)
    left, top, right, bottom = _pixels([min(max(side, 0), last) for side, last in sides])
    canvas.rectangle((left, top, right, bottom), outline=CASING, width=width)
    inner = width - 1  # Pillow includes the last pixel
    for start in range(left, right + 1, 7 * width):
        end = min(start + 4 * width - 1, right)
        canvas.rectangle((start, top, end, top + inner), fill=color)
        canvas.rectangle((start, max(top, bottom - inner), end, bottom), fill=color)
    for start in range(top, bottom + 1, 7 * width):
        end = min(start + 4 * width - 1, bottom)
        canvas.rectangle((left, start, left + inner, end), fill=color)
        canvas.rectangle((max(left, right - inner), start, right, end), fill=color)


def _pixels(box_px: Box) -> tuple[int, int, int, int]:
    """Return the first and last pixels of a box, at least one, as Pillow expects."""
    left, top, right, bottom = (round(side) for side in box_px)
    return left, top, max(left, right - 1), max(top, bottom - 1)


def tile(path: Path, boxes_px: Mapping[str, Box]) -> Image.Image:
    """Return the image with boxes {color: xyxy in pixels}, resized to fit a square tile, on gray."""
    image = open_rgb(path)
    scale = TILE_PX / max(image.size)
    image = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    scaled = {color: [side * scale for side in box] for color, box in boxes_px.items()}
    return ImageOps.pad(draw_boxes(image, scaled), (TILE_PX, TILE_PX), color=BACKGROUND)


def write_text(picture: Image.Image, place: tuple[int, int], text: str, *, size: int = 12) -> None:
    """Write black text with its top left at `place`, in Pillow's own font."""
    ImageDraw.Draw(picture).text(place, text, fill="black", font=font(size))


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return Pillow's own font, the same on every machine."""
    return ImageFont.load_default(size)
