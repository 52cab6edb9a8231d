"""Which encodings fit the boxes, and where their edges are if counted from 1."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localizer.boxes import FORMATS, Array, BoxFormat
from localizer.datasets.detection.encoding_fit import OneBasedEdges, fits, one_based_edges

UNKNOWN = (np.nan, np.nan)


def sizes(boxes: list[Any], size: tuple[float, float]) -> Array:
    return np.tile(np.array(size, dtype=np.float64), (len(boxes), 1))


def fit(box: Any, box_format: BoxFormat, *, size: tuple[float, float] = (100, 80), **how: Any) -> bool:
    numbers = np.array([box], dtype=np.float64)
    return bool(fits(numbers, sizes([box], size), box_format=box_format, **({"units": "pixel"} | how))[0])


@pytest.mark.parametrize(
    ("box", "box_format"),
    [([60, 50, 100, 80], "xyxy"), ([60, 50, 40, 30], "xywh"), ([80, 65, 40, 30], "cxcywh"), ([60, 50, 30, 40], "xyhw")],
)
def test_a_box_fits_up_to_the_edge_of_its_image_and_no_further(box: list[float], box_format: BoxFormat) -> None:
    assert fit(box, box_format)
    for axis in (0, 1):
        beyond = list(box)
        beyond[axis + 2 if box_format == "xyxy" else axis] += 0.01
        assert not fit(beyond, box_format)


@pytest.mark.parametrize("box", [[-0.01, 0, 5, 5], [0, -0.01, 5, 5], [5, 0, 5, 5], [0, 5, 5, 5], [9, 0, 5, 5]])
def test_a_box_that_begins_before_0_or_has_no_area_does_not_fit(box: list[float]) -> None:
    assert not fit(box, "xyxy")
    assert not fit(box, "xyxy", size=UNKNOWN)


def test_boxes_in_0_to_1_fit_up_to_1_whatever_the_size() -> None:
    assert fit([0, 0, 1, 1], "xyxy", units="unit", size=UNKNOWN)
    assert not fit([0, 0, 1.1, 1], "xyxy", units="unit")


@pytest.mark.parametrize("units", ["pixel", "unit"])
def test_rounding_errors_of_an_edge_are_tolerated(units: str) -> None:
    assert fit([-9e-7, 0, 1 + 9e-7, 1], "xyxy", units=units, size=(1, 1))
    assert not fit([0, 0, 1 + 2e-6, 1], "xyxy", units=units, size=(1, 1))
    assert not fit([-2e-6, 0, 1, 1], "xyxy", units=units, size=(1, 1))


def test_an_unknown_size_is_no_limit_only_on_its_axis() -> None:
    assert fit([0, 0, 999, 80], "xyxy", size=(np.nan, 80))
    assert not fit([0, 0, 999, 81], "xyxy", size=(np.nan, 80))


def test_a_box_with_a_nan_does_not_fit() -> None:
    assert not fit([1, 1, np.nan, 5], "xyxy", size=UNKNOWN)


@pytest.mark.parametrize(
    ("box", "box_format", "from_0", "from_1"),
    [
        ([61, 51, 40, 30], "xywh", False, True),  # the pixels 61 to 100 and 51 to 80
        ([61, 51, 30, 40], "xyhw", False, True),
        ([0, 51, 40, 30], "xywh", False, False),  # there is no pixel 0, and 81 is beyond the edge
        ([0, 50, 40, 30], "xywh", True, False),
        ([1, 1, 100, 80], "xyxy", True, True),
        ([5, 5, 5, 5], "xyxy", False, True),  # one pixel
        ([0, 1, 100, 80], "xyxy", True, False),
        ([80, 65, 40, 30], "cxcywh", True, True),  # centres are never counted from 1
    ],
)
def test_pixels_counted_from_1_begin_at_1_and_end_on_the_last(
    box: list[float], box_format: BoxFormat, from_0: bool, from_1: bool
) -> None:
    assert [fit(box, box_format, origin=origin) for origin in (0, 1)] == [from_0, from_1]


def test_boxes_in_0_to_1_are_never_counted_from_1() -> None:
    assert fit([0, 0, 1, 1], "xyxy", units="unit", origin=1)


NUMBER = st.floats(0, 200)


@given(box=st.lists(NUMBER, min_size=4, max_size=4), box_format=st.sampled_from(list(FORMATS)))
def test_a_box_that_fits_its_image_fits_larger_images_and_those_of_unknown_size(
    box: list[float], box_format: BoxFormat
) -> None:
    if fit(box, box_format):
        assert fit(box, box_format, size=(101, 90))
        assert fit(box, box_format, size=UNKNOWN)


@pytest.mark.parametrize(("box_format", "ends"), [("xyxy", 0), ("xywh", 1), ("xyhw", 1)])
def test_edges_are_counted_once_per_box(box_format: BoxFormat, ends: int) -> None:
    square = [[1, 1, 100, 100], [0.5, 3, 20, 20], [2, 2, 99, 99], [2, 2, 100, 100]]
    found = one_based_edges(np.array(square, dtype=np.float64), sizes(square, (100, 100)), box_format=box_format)
    # As xyxy the first and the last end at 100. As sides the first and third do, and the last at 101.
    assert found == OneBasedEdges(below=1, at_one=1, at_end=2, beyond=ends)


def test_an_unknown_size_has_no_edge_to_end_at() -> None:
    boxes = np.array([[1, 1, 100, 80]], dtype=np.float64)
    assert one_based_edges(boxes, sizes([0], UNKNOWN), box_format="xyxy") == OneBasedEdges(0, 1, 0, 0)


@pytest.mark.parametrize(
    ("edges", "one_based"),
    [((0, 3, 3, 0), True), ((0, 2, 9, 0), False), ((0, 9, 2, 0), False), ((1, 9, 9, 0), False), ((0, 9, 9, 1), False)],
)
def test_three_boxes_at_either_end_and_none_further_suggest_one_based(
    edges: tuple[int, int, int, int], one_based: bool
) -> None:
    assert OneBasedEdges(*edges).suggest_one_based() is one_based
