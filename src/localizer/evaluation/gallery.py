"""A picture of a test's best, median and worst images, with their true and predicted boxes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from localizer.drawing import LINE_PX, MARGIN_PX, PREDICTED, TILE_PX, TRUE, font, tile, write_text

COLUMNS = 4


def gallery(
    paths: Sequence[Path],
    true_px: NDArray[np.float64],
    pred_px: NDArray[np.float64],
    iou: NDArray[np.float64],
) -> Image.Image:
    """Return a picture of the best, median and worst images by IoU, each with its true and predicted box.

    paths: N images; true_px, pred_px: [N, 4] xyxy in pixels; iou: [N].
    """
    rows = picked(iou)
    step = TILE_PX + MARGIN_PX
    sheet = Image.new("RGB", (MARGIN_PX + COLUMNS * step, 2 * LINE_PX + len(rows) * (step + 2 * LINE_PX)), "white")
    _legend(sheet)
    for row, (name, chosen) in enumerate(rows.items()):
        top = 2 * LINE_PX + row * (step + 2 * LINE_PX)
        write_text(sheet, (MARGIN_PX, top), name, size=15)
        for column, index in enumerate(chosen):
            place = (MARGIN_PX + column * step, top + LINE_PX)
            sheet.paste(tile(paths[index], {TRUE: true_px[index], PREDICTED: pred_px[index]}), place)
            caption = f"IoU {iou[index]:.2f}  {paths[index].name[-24:]}"
            write_text(sheet, (place[0], place[1] + TILE_PX + 2), caption)
    return sheet


def not_shown() -> Image.Image:
    """Return what stands for the pictures of a data set that shows none."""
    sheet = Image.new("RGB", (3 * TILE_PX, 3 * LINE_PX), "white")
    write_text(
        sheet, (MARGIN_PX, LINE_PX), "No picture is shown: the data set's card says show_images: false.", size=15
    )
    return sheet


def picked(iou: NDArray[np.float64]) -> dict[str, NDArray[np.intp]]:
    """Return which of [N] images are the best, the median and the worst, COLUMNS each where there are so many."""
    order = np.argsort(-iou, kind="stable")
    start = max(0, (len(order) - COLUMNS) // 2)
    return {"best": order[:COLUMNS], "median": order[start : start + COLUMNS], "worst": order[::-1][:COLUMNS]}


def _legend(sheet: Image.Image) -> None:
    canvas = ImageDraw.Draw(sheet)
    left = MARGIN_PX
    for colour, name in ((TRUE, "true box"), (PREDICTED, "predicted box")):
        canvas.rectangle([left, 12, left + 14, 26], outline=colour, width=3)
        canvas.text((left + 20, 11), name, fill="black", font=font(14))
        left += 120
