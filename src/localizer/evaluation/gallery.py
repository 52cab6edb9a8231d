"""The gallery: a test split's best, median and worst images by IoU, with true and predicted boxes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from localizer.boxes import Array
from localizer.drawing import LINE_PX, MARGIN_PX, PREDICTED_COLOR, TILE_PX, TRUE_COLOR, font, tile, write_text

COLUMNS = 4


def gallery(paths: Sequence[Path], true_px: Array, pred_px: Array, iou: Array) -> Image.Image:
    """Return an image with a row each of the best, median and worst images, with IoU and both boxes.

    paths: of N images; true_px, pred_px: [N, 4] xyxy in pixels; iou: [N].
    """
    rows = ranked_rows(iou)
    step = TILE_PX + MARGIN_PX
    sheet = Image.new("RGB", (MARGIN_PX + COLUMNS * step, 2 * LINE_PX + len(rows) * (step + 2 * LINE_PX)), "white")
    _draw_legend(sheet)
    for row, (name, indices) in enumerate(rows.items()):
        top = 2 * LINE_PX + row * (step + 2 * LINE_PX)
        write_text(sheet, (MARGIN_PX, top), name, size=15)
        for column, index in enumerate(indices):
            left, tile_top = MARGIN_PX + column * step, top + LINE_PX
            sheet.paste(
                tile(paths[index], {TRUE_COLOR: true_px[index], PREDICTED_COLOR: pred_px[index]}), (left, tile_top)
            )
            caption = f"IoU {iou[index]:.2f}  {paths[index].name[-24:]}"
            write_text(sheet, (left, tile_top + TILE_PX + 2), caption)
    return sheet


def placeholder() -> Image.Image:
    """Return the gallery of a data set whose images must not be shown."""
    sheet = Image.new("RGB", (3 * TILE_PX, 3 * LINE_PX), "white")
    write_text(sheet, (MARGIN_PX, LINE_PX), "No images shown: dataset.yaml has show_images: false.", size=15)
    return sheet


def ranked_rows(iou: Array) -> dict[str, NDArray[np.intp]]:
    """Return the indices of the best, the median and the worst of [N], at most COLUMNS each."""
    order = np.argsort(-iou, kind="stable")
    start = max(0, (len(order) - COLUMNS) // 2)
    return {"best": order[:COLUMNS], "median": order[start : start + COLUMNS], "worst": order[::-1][:COLUMNS]}


def _draw_legend(sheet: Image.Image) -> None:
    canvas = ImageDraw.Draw(sheet)
    for left, color, name in (
        (MARGIN_PX, TRUE_COLOR, "ground truth"),
        (MARGIN_PX + 120, PREDICTED_COLOR, "predicted box"),
    ):
        canvas.rectangle([left, 12, left + 14, 26], outline=color, width=3)
        canvas.text((left + 20, 11), name, fill="black", font=font(14))
