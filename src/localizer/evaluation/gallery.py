"""Pictures with boxes: one image, or the best, median and worst of a test."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from localizer.data.images import open_rgb

TRUE, PREDICTED = "#00a651", "#e6007e"  # green and magenta: told apart by the colour-blind, too
TILE_PX, MARGIN_PX, LINE_PX = 220, 12, 20
COLUMNS = 4

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


def gallery(
    paths: Sequence[Path],
    true_px: NDArray[np.float64],
    pred_px: NDArray[np.float64],
    iou: NDArray[np.float64],
) -> Image.Image:
    """Return a picture of the best, median and worst images by IoU, each with its true and predicted box.

    paths: N images; true_px, pred_px: [N, 4] xyxy in pixels; iou: [N].
    """
    order = np.argsort(-iou, kind="stable")
    rows = {"best": order[:COLUMNS], "median": _middle(order), "worst": order[::-1][:COLUMNS]}
    step = TILE_PX + MARGIN_PX
    sheet = Image.new("RGB", (MARGIN_PX + COLUMNS * step, 2 * LINE_PX + len(rows) * (step + 2 * LINE_PX)), "white")
    _legend(sheet)
    for row, (name, chosen) in enumerate(rows.items()):
        top = 2 * LINE_PX + row * (step + 2 * LINE_PX)
        ImageDraw.Draw(sheet).text((MARGIN_PX, top), name, fill="black", font=_font(15))
        for column, index in enumerate(chosen):
            tile = _tile(paths[index], {TRUE: true_px[index], PREDICTED: pred_px[index]})
            place = (MARGIN_PX + column * step, top + LINE_PX)
            sheet.paste(tile, place)
            caption = f"IoU {iou[index]:.2f}  {paths[index].name[-24:]}"
            ImageDraw.Draw(sheet).text((place[0], place[1] + TILE_PX + 2), caption, fill="black", font=_font(12))
    return sheet


def _middle(order: NDArray[np.intp]) -> NDArray[np.intp]:
    start = max(0, (len(order) - COLUMNS) // 2)
    return order[start : start + COLUMNS]


def _tile(path: Path, boxes_px: Mapping[str, Box]) -> Image.Image:
    """Return the image with boxes, enlarged or reduced to fit a tile, on grey."""
    image = open_rgb(path)
    scale = TILE_PX / max(image.size)
    image = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    scaled = {colour: [side * scale for side in box] for colour, box in boxes_px.items()}
    return ImageOps.pad(draw_boxes(image, scaled), (TILE_PX, TILE_PX), color="#eeeeee")


def _legend(sheet: Image.Image) -> None:
    canvas = ImageDraw.Draw(sheet)
    left = MARGIN_PX
    for colour, name in ((TRUE, "true box"), (PREDICTED, "predicted box")):
        canvas.rectangle([left, 12, left + 14, 26], outline=colour, width=3)
        canvas.text((left + 20, 11), name, fill="black", font=_font(14))
        left += 120


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
