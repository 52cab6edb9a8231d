"""Boxes as edges in pixels from 0, from every format, unit and origin that a config can declare."""

import numpy as np
import pandas as pd
import pytest

from localizer.dataset import CsvColumns, DatasetConfig
from localizer.datasets.coordinates import parse_coordinates, with_edges
from localizer.tables import BOX, EDGES


def config(**changed: object) -> DatasetConfig:
    values: dict[str, object] = {
        "title": "toy",
        "format": "csv",
        "annotations": "boxes.csv",
        "images": "images",
        "columns": CsvColumns(image="image", box=["a", "b", "c", "d"]),
    }
    return DatasetConfig.model_validate(values | changed)


def table(*rows: tuple[str, ...]) -> pd.DataFrame:
    """Return boxes of images a, b, ... with their four values as text."""
    images = [chr(ord("a") + index) for index in range(len(rows))]
    return pd.DataFrame(rows, columns=BOX, dtype=str).assign(image=images)


IMAGES = pd.DataFrame({"image": ["b", "a", "c"], "width": [200, 100, 0], "height": [80, 40, 0]})


def edges(boxes: pd.DataFrame, chosen: DatasetConfig) -> list[list[float]]:
    return with_edges(boxes, IMAGES, chosen)[EDGES].to_numpy().tolist()


@pytest.mark.parametrize(
    ("box_format", "values"),
    [
        ("xyxy", ("10", "20", "40", "60")),
        ("xywh", ("10", "20", "30", "40")),
        ("cxcywh", ("25", "40", "30", "40")),
        ("xyhw", ("10", "20", "40", "30")),
    ],
)
def test_every_format_gives_the_same_edges(box_format: str, values: tuple[str, ...]) -> None:
    assert edges(table(values), config(box_format=box_format)) == [[10, 20, 40, 60]]


@pytest.mark.parametrize(
    ("box_format", "values"),
    [
        ("xyxy", ("11", "21", "40", "60")),  # first and last pixel, both included
        ("xywh", ("11", "21", "30", "40")),
        ("xyhw", ("11", "21", "40", "30")),
    ],
)
def test_pixels_counted_from_1_become_edges_from_0(box_format: str, values: tuple[str, ...]) -> None:
    assert edges(table(values), config(box_format=box_format, box_origin=1)) == [[10, 20, 40, 60]]


def test_one_pixel_counted_from_1_has_area_1() -> None:
    assert edges(table(("7", "7", "7", "7")), config(box_origin=1)) == [[6, 6, 7, 7]]


@pytest.mark.parametrize(
    ("box_format", "values"),
    [
        ("xyxy", ("0.1", "0.5", "0.4", "1")),
        ("cxcywh", ("0.25", "0.75", "0.3", "0.5")),
    ],
)
def test_boxes_in_0_to_1_are_scaled_by_their_own_images_size(box_format: str, values: tuple[str, ...]) -> None:
    found = edges(table(values, values), config(box_format=box_format, box_units="unit"))
    assert np.allclose(found, [[10, 20, 40, 40], [20, 40, 80, 80]])


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (("0.333333", "0.500000", "0.666667", "1.000000"), (-0.5e-6, 0, 0.6666665, 1)),  # of 1/3 and 2/3
        (("0.666667", "0.500000", "0.666667", "1.000000"), (0.3333335, 0, 1.0000005, 1)),
    ],
    ids=["before-0", "beyond-1"],
)
def test_boxes_in_six_decimals_end_at_the_images_edge(values: tuple[str, ...], found: tuple[float, ...]) -> None:
    (got,) = edges(table(values), config(box_format="cxcywh", box_units="unit"))
    assert np.allclose(got, np.array(found) * [100, 40, 100, 40], atol=1e-3)
    assert got[0] >= 0
    assert got[2] <= 100


@pytest.mark.parametrize(
    ("share", "pixels"),
    [
        *(("-0.0000009", 0), ("0.0000009", 0), ("0.9999991", 100), ("1.0000009", 100)),
        *(("-0.000002", -0.0002), ("0.000002", 0.0002), ("0.999998", 99.9998), ("1.000002", 100.0002)),
    ],
)
def test_only_edges_within_a_millionth_of_0_or_1_are_moved_there(share: str, pixels: float) -> None:
    (got,) = edges(table((share, "0.1", share, "0.9")), config(box_units="unit"))
    assert got[0] == got[2] == pytest.approx(pixels, abs=1e-9)


def test_pixels_that_miss_an_edge_are_left_as_they_are() -> None:
    (got,) = edges(table(("-0.000001", "0.000001", "0.999999", "100.000001")), config())
    assert got == [-0.000001, 0.000001, 0.999999, 100.000001]


def test_boxes_in_0_to_1_of_an_image_of_unknown_size_are_nan() -> None:
    found = edges(table(*[("0", "0", "1", "1")] * 3), config(box_units="unit"))
    assert np.isnan(found).tolist() == [[False] * 4, [False] * 4, [True] * 4]


def test_pixels_need_no_image_size() -> None:
    assert edges(table(*[("1", "2", "3", "4")] * 3), config())[2] == [1, 2, 3, 4]


def test_text_that_is_no_number_spoils_only_the_edges_that_it_makes() -> None:
    (found,) = edges(table(("10", "20", "wide", "40")), config(box_format="xywh"))
    assert np.isnan(found).tolist() == [False, False, True, False]


def test_the_text_is_kept_with_the_edges() -> None:
    boxes = table(("1,5", "20", "30", "40"))
    assert with_edges(boxes, IMAGES, config())[[*BOX, "image"]].equals(boxes)


@pytest.mark.parametrize(
    "text",
    [
        *("", "nan", "NaN", "inf", "-inf", "Infinity", "1e400", "-1e400", "9" * 400),
        *("0x10", "1_000", "1,5", "1 000", "1.2.3", "--1", "1e", "e5", ".", "+"),
        *(" 1", "1 ", "1\n", "True", "None", "½", "\u0663", "\uff11\uff12"),  # an Arabic 3, and 12 in full width
    ],
)
def test_text_that_is_no_finite_number_is_nan(text: str) -> None:
    numbers = parse_coordinates(table((text, "2", "3", "4")))
    assert np.isnan(numbers[0, 0])
    assert numbers[0, 1:].tolist() == [2, 3, 4]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("7", 7), ("007", 7), ("-1.5", -1.5), ("+2", 2), (".5", 0.5), ("3.", 3), ("-0", 0)),
        *(("1e2", 100), ("1E-2", 0.01), ("1e23", 1e23), ("0.1", 0.1)),
    ],
)
def test_decimal_text_is_the_nearest_number(text: str, number: float) -> None:
    assert parse_coordinates(table((text, "2", "3", "4")))[0, 0] == number


def test_no_boxes_give_no_numbers() -> None:
    assert parse_coordinates(table(("1", "2", "3", "4")).iloc[:0]).shape == (0, 4)
