"""The gallery: the best, median and worst images, each with both boxes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageColor

from localizer.drawing import LINE_PX, MARGIN_PX, PREDICTED_COLOR, TILE_PX, TRUE_COLOR
from localizer.evaluation.gallery import COLUMNS, gallery

WHITE = (255, 255, 255)
STEP = TILE_PX + MARGIN_PX


def paint(picture: Image.Image, color: str) -> tuple[int, int, int, int] | None:
    """Return the edges (xmin, ymin, xmax, ymax) of what is painted in a color."""
    mask = (np.asarray(picture) == ImageColor.getrgb(color)).all(axis=2)
    return Image.fromarray(mask).getbbox()


class Gallery:
    """N plain images, each of its own grey, and the same boxes on all."""

    def __init__(self, folder: Path, iou: list[float]) -> None:
        self.iou = np.array(iou)
        self.paths = [folder / f"{index}.png" for index in range(len(iou))]
        for index, path in enumerate(self.paths):
            Image.new("RGB", (50, 50), (index, index, index)).save(path)
        self.true_px = np.tile([5.0, 5.0, 20.0, 20.0], (len(iou), 1))
        self.pred_px = np.tile([25.0, 25.0, 45.0, 45.0], (len(iou), 1))

    def sheet(self) -> Image.Image:
        return gallery(self.paths, self.true_px, self.pred_px, self.iou)


def shown(sheet: Image.Image) -> list[list[int]]:
    """Return the numbers of the images in each row, by the grey of their tiles' first pixel."""
    rows = []
    for row in range(3):
        top = 2 * LINE_PX + row * (STEP + 2 * LINE_PX) + LINE_PX
        pixels: list[Any] = [sheet.getpixel((MARGIN_PX + column * STEP + 1, top + 1)) for column in range(COLUMNS)]
        rows.append([pixel[0] for pixel in pixels if pixel != WHITE])
    return rows


def test_rows_are_the_best_the_median_and_the_worst_by_iou(tmp_path: Path) -> None:
    iou = [0.50, 0.10, 0.90, 0.30, 0.70, 0.80, 0.20, 0.60, 0.40, 0.95]
    # By IoU: 9 2 5 4 7 0 8 3 6 1; the four in the middle begin at place 3.
    assert shown(Gallery(tmp_path, iou).sheet()) == [[9, 2, 5, 4], [4, 7, 0, 8], [1, 6, 3, 8]]


@pytest.mark.parametrize("count", [1, 3])
def test_a_few_images_stand_in_every_row(tmp_path: Path, count: int) -> None:
    assert [sorted(row) for row in shown(Gallery(tmp_path, [0.5] * count).sheet())] == [list(range(count))] * 3


def test_every_tile_has_its_true_and_its_predicted_box(tmp_path: Path) -> None:
    sheet = Gallery(tmp_path, [0.5]).sheet()
    tile = sheet.crop((MARGIN_PX, 3 * LINE_PX, MARGIN_PX + TILE_PX, 3 * LINE_PX + TILE_PX))
    assert paint(tile, TRUE_COLOR) == (22, 22, 88, 88)  # 5 to 20 pixels, enlarged by 220 / 50
    assert paint(tile, PREDICTED_COLOR) == (110, 110, 198, 198)


def test_a_name_with_any_letters_is_captioned(tmp_path: Path) -> None:
    images = Gallery(tmp_path, [0.5])
    images.paths = [images.paths[0].rename(tmp_path / "картинка 图\n.png")]
    assert images.sheet().size == (MARGIN_PX + COLUMNS * STEP, 2 * LINE_PX + 3 * (STEP + 2 * LINE_PX))
