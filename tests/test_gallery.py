"""Pictures with boxes: the boxes are drawn where they are, and the right images are shown."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from localizer.evaluation import gallery as module
from localizer.evaluation.gallery import (
    COLUMNS,
    LINE_PX,
    MARGIN_PX,
    PREDICTED,
    TILE_PX,
    TRUE,
    _tile,
    draw_boxes,
    gallery,
)

WHITE, GREY = (255, 255, 255), (238, 238, 238)
STEP = TILE_PX + MARGIN_PX


def paint(picture: Image.Image, colour: str) -> tuple[int, int, int, int] | None:
    """Return the edges (xmin, ymin, xmax, ymax) of what is painted in a colour."""
    mask = (np.asarray(picture) == ImageColor.getrgb(colour)).all(axis=2)
    return Image.fromarray(mask).getbbox()


@pytest.mark.parametrize("size", [(60, 40), (900, 600)])
@pytest.mark.parametrize("box_px", [(10, 5, 30, 25), (0, 0, 60, 40), (39, 19, 60, 40)])
def test_a_box_is_drawn_on_the_pixels_that_it_covers(size: tuple[int, int], box_px: tuple[int, ...]) -> None:
    picture = draw_boxes(Image.new("RGB", size, WHITE), {"red": box_px})
    assert paint(picture, "red") == box_px


@pytest.mark.parametrize("size", [(60, 40), (900, 600)])
def test_a_box_without_an_area_can_be_drawn_and_is_small(size: tuple[int, int]) -> None:
    found = paint(draw_boxes(Image.new("RGB", size, WHITE), {"red": (20, 20, 20, 20)}), "red")
    assert found is not None
    assert max(abs(edge - 20) for edge in found) <= 10  # about a line's width


def test_the_inside_of_a_box_is_left_as_it_was() -> None:
    assert draw_boxes(Image.new("RGB", (60, 40), WHITE), {"red": (10, 5, 30, 25)}).getpixel((20, 15)) == WHITE


def test_the_image_itself_is_left_as_it_was() -> None:
    image = Image.new("RGB", (60, 40), WHITE)
    draw_boxes(image, {"red": (10, 5, 30, 25)})
    assert paint(image, "red") is None


def test_lines_are_thicker_in_larger_images() -> None:
    thickness = []
    for side in (100, 1200):
        picture = draw_boxes(Image.new("RGB", (side, side), WHITE), {"red": (0, 0, side, side)})
        row = np.asarray(picture)[side // 2]
        thickness.append(int((row == (255, 0, 0)).all(axis=1).sum()) // 2)
    assert thickness == [1, 10]  # 1200 / 120


def test_boxes_of_two_colours_are_both_drawn() -> None:
    boxes: dict[str, tuple[int, ...]] = {TRUE: (10, 5, 30, 25), PREDICTED: (12, 8, 50, 35)}
    picture = draw_boxes(Image.new("RGB", (60, 40), WHITE), boxes)
    assert (paint(picture, PREDICTED), paint(picture, TRUE)) == (boxes[PREDICTED], boxes[TRUE])


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((440, 220), (55, 55 + 22, 110, 55 + 88)),  # halved to 220 x 110, centred: 55 above
        ((110, 110), (220, 88, 440, 352)),  # doubled; the box leaves the tile
    ],
)
def test_a_box_is_scaled_and_moved_with_its_image_in_a_tile(
    tmp_path: Path, size: tuple[int, int], expected: tuple[int, ...]
) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", size, WHITE).save(path)
    found = paint(_tile(path, {"red": (110, 44, 220, 176)}), "red")
    inside = [min(side, TILE_PX) for side in expected]
    assert found == (tuple(inside) if inside[0] < TILE_PX else None)


class Pictures:
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
        pixels = [sheet.getpixel((MARGIN_PX + column * STEP + 1, top + 1)) for column in range(COLUMNS)]
        rows.append([pixel[0] for pixel in pixels if pixel != WHITE])
    return rows


def test_rows_are_the_best_the_median_and_the_worst_by_iou(tmp_path: Path) -> None:
    iou = [0.50, 0.10, 0.90, 0.30, 0.70, 0.80, 0.20, 0.60, 0.40, 0.95]
    # By IoU: 9 2 5 4 7 0 8 3 6 1; the four in the middle begin at place 3.
    assert shown(Pictures(tmp_path, iou).sheet()) == [[9, 2, 5, 4], [4, 7, 0, 8], [1, 6, 3, 8]]


@pytest.mark.parametrize("count", [1, 3])
def test_a_few_images_stand_in_every_row(tmp_path: Path, count: int) -> None:
    assert [sorted(row) for row in shown(Pictures(tmp_path, [0.5] * count).sheet())] == [list(range(count))] * 3


def test_every_tile_has_its_true_and_its_predicted_box(tmp_path: Path) -> None:
    sheet = Pictures(tmp_path, [0.5]).sheet()
    tile = sheet.crop((MARGIN_PX, 3 * LINE_PX, MARGIN_PX + TILE_PX, 3 * LINE_PX + TILE_PX))
    assert paint(tile, TRUE) == (22, 22, 88, 88)  # 5 to 20 pixels, enlarged by 220 / 50
    assert paint(tile, PREDICTED) == (110, 110, 198, 198)


def test_an_image_is_shown_upright_and_in_colour_as_the_network_sees_it(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (220, 110), 77).save(tmp_path / "a.png", exif=exif)
    tile = _tile(tmp_path / "a.png", {})
    assert tile.getpixel((110, 5)) == (77, 77, 77)  # upright: as high as the tile
    assert tile.getpixel((5, 110)) == GREY  # and half as wide


def test_a_name_with_any_letters_is_captioned(tmp_path: Path) -> None:
    pictures = Pictures(tmp_path, [0.5])
    pictures.paths = [pictures.paths[0].rename(tmp_path / "картинка 图\n.png")]
    assert pictures.sheet().size == (MARGIN_PX + COLUMNS * STEP, 2 * LINE_PX + 3 * (STEP + 2 * LINE_PX))


def test_the_two_colours_differ_for_the_colour_blind_too() -> None:
    """Their luminance differs, whichever hue is told badly."""
    bright = [np.dot(ImageColor.getrgb(colour), (0.2126, 0.7152, 0.0722)) for colour in (module.TRUE, PREDICTED)]
    assert abs(bright[0] - bright[1]) > 50
