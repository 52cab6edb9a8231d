"""Pictures with boxes, and tiles of one size to lay side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from localizer.data.images import open_rgb

TRUE, PREDICTED = "#00a651", "#e6007e"  # green and magenta: told apart by the colour-blind, too
GROUND = "#eeeeee"  # what a tile shows beside its picture
TILE_PX, MARGIN_PX, LINE_PX = 220, 12, 20

Box = Sequence[float]


def draw_boxes(image: Image.Image, boxes_px: Mapping[str, Box]) -> Image.Image:
    """Return a copy of the RGB image with boxes {colour: xyxy in pixels}, their lines fit to its size."""
    picture = image.copy()
    canvas = ImageDraw.Draw(picture)
    width = max(1, round(max(image.size) / 120))
    for colour, box_px in boxes_px.items():
        left, top, right, bottom = (round(side) for side in box_px)
        last = (max(left, right - 1), max(top, bottom - 1))  # Pillow paints this pixel, too
        canvas.rectangle([(left, top), last], outline=colour, width=width)
    return picture


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
