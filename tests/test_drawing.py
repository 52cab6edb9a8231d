"""Pictures with boxes: the boxes are drawn where they are, and tiles show what the network sees."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from localizer.drawing import PREDICTED_COLOR, TILE_PX, TRUE_COLOR, draw_boxes, draw_dashed, tile, write_text
from localizer.images.decoding import ImageError

WHITE, GREY = (255, 255, 255), (238, 238, 238)


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


def test_a_line_has_white_on_both_sides() -> None:
    picture = draw_boxes(Image.new("RGB", (60, 40), "black"), {"red": (10, 5, 30, 25)})
    row = [picture.getpixel((x, 15)) for x in range(7, 14)]
    black, red = (0, 0, 0), (255, 0, 0)
    assert row == [black, black, WHITE, red, WHITE, black, black]  # the line is at 10, a pixel thick


def test_the_white_of_one_box_does_not_cover_the_line_of_another() -> None:
    picture = draw_boxes(Image.new("RGB", (60, 40), "black"), {"red": (10, 5, 30, 25), "blue": (11, 6, 31, 26)})
    assert paint(picture, "red") == (10, 5, 30, 25)


def test_a_dashed_box_is_four_pixels_of_its_colour_and_three_of_white() -> None:
    picture = Image.new("RGB", (60, 40), "black")
    draw_dashed(picture, (10, 5, 30, 25), "red")
    red = (255, 0, 0)
    for line in ([(x, 5) for x in range(10, 24)], [(10, y) for y in range(5, 19)], [(29, y) for y in range(5, 19)]):
        assert [picture.getpixel(place) for place in line] == ([red] * 4 + [WHITE] * 3) * 2
    assert (paint(picture, "red"), picture.getpixel((11, 6))) == ((10, 5, 30, 25), (0, 0, 0))


def test_a_dashed_box_that_sticks_out_is_drawn_along_the_images_edge() -> None:
    picture = Image.new("RGB", (60, 40), "black")
    draw_dashed(picture, (-9, -9, 99, 99), "red")
    assert paint(picture, "red") == (0, 0, 60, 40)


def test_boxes_of_two_colours_are_both_drawn() -> None:
    boxes: dict[str, tuple[int, ...]] = {TRUE_COLOR: (10, 5, 30, 25), PREDICTED_COLOR: (12, 8, 50, 35)}
    picture = draw_boxes(Image.new("RGB", (60, 40), WHITE), boxes)
    assert (paint(picture, PREDICTED_COLOR), paint(picture, TRUE_COLOR)) == (boxes[PREDICTED_COLOR], boxes[TRUE_COLOR])


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((440, 220), (55, 55 + 22, 110, 55 + 88)),  # halved to 220 x 110, centred: 55 above
        ((110, 110), (220, 88, 440, 352)),  # doubled; the box leaves the tile
    ],
)
def test_a_box_is_scaled_and_moved_with_its_image_in_atile(
    tmp_path: Path, size: tuple[int, int], expected: tuple[int, ...]
) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", size, WHITE).save(path)
    found = paint(tile(path, {"red": (110, 44, 220, 176)}), "red")
    inside = [min(side, TILE_PX) for side in expected]
    assert found == (tuple(inside) if inside[0] < TILE_PX else None)


def test_an_image_is_shown_upright_and_in_colour_as_the_network_sees_it(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (220, 110), 77).save(tmp_path / "a.png", exif=exif)
    shown = tile(tmp_path / "a.png", {})
    assert shown.getpixel((110, 5)) == (77, 77, 77)  # upright: as high as the tile
    assert shown.getpixel((5, 110)) == GREY  # and half as wide


def test_an_image_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"nope\.png: no such file"):
        tile(tmp_path / "nope.png", {})


@pytest.mark.parametrize("text", ["two\nlines", "картинка 图"])
def test_text_is_written_from_its_place_on(text: str) -> None:
    picture = Image.new("L", (200, 100), 255)
    write_text(picture, (50, 40), text)
    box = picture.point(lambda value: 255 - value).getbbox()
    assert box is not None
    assert (box[0], box[1]) == pytest.approx((50, 42), abs=3)  # a letter may begin a pixel before its place


def test_the_two_colours_differ_for_the_colour_blind_too() -> None:
    """Their luminance differs, whichever hue is told badly."""
    bright = [np.dot(ImageColor.getrgb(colour), (0.2126, 0.7152, 0.0722)) for colour in (TRUE_COLOR, PREDICTED_COLOR)]
    assert abs(bright[0] - bright[1]) > 50
