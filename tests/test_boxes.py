"""Box formats and IoU, by hand, by property and against torchvision."""

from typing import get_args

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from localizer.boxes import FORMATS, Array, BoxFormat, area, paired_iou, to_fractions, to_pixels, to_xyxy

SHARES = arrays(np.float64, (4, 4), elements=st.integers(0, 64).map(lambda value: value / 64))
modestly = settings(max_examples=50, deadline=None)


def one(*numbers: float) -> Array:
    return np.array([numbers], dtype=np.float64)


def ordered(corners: Array) -> Array:
    """Return corners [N, 4] with the smaller of each pair first."""
    return np.concatenate([np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:])], 1)


@pytest.mark.parametrize(
    ("box_format", "given_box"),
    [
        ("xyxy", (10, 20, 40, 60)),
        ("xywh", (10, 20, 30, 40)),
        ("cxcywh", (25, 40, 30, 40)),
        ("xyhw", (10, 20, 40, 30)),
    ],
)
def test_one_box_has_the_same_corners_in_every_format(box_format: BoxFormat, given_box: tuple[float, ...]) -> None:
    assert to_xyxy(one(*given_box), box_format).tolist() == [[10, 20, 40, 60]]


def test_every_format_has_names_for_its_four_numbers() -> None:
    assert set(FORMATS) == set(get_args(BoxFormat))
    assert {len(names) for names in FORMATS.values()} == {4}


def test_an_unknown_format_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(ValueError, match="expected one of xyxy, xywh, cxcywh, xyhw, got 'yxyx'"):
        to_xyxy(one(1, 2, 3, 4), "yxyx")  # type: ignore[arg-type]


@pytest.mark.parametrize("box_format", FORMATS)
def test_no_boxes_give_no_corners(box_format: BoxFormat) -> None:
    assert to_xyxy(np.empty((0, 4)), box_format).shape == (0, 4)


def test_a_nan_width_spoils_only_xmax() -> None:
    corners = to_xyxy(one(10, 20, np.nan, 40), "xywh")
    assert np.isnan(corners).tolist() == [[False, False, True, False]]
    assert corners[0, 3] == 60


def test_area_is_width_times_height() -> None:
    assert area(one(1, 2, 4, 7)).tolist() == [15]  # 3 * 5


@pytest.mark.parametrize("corners", [(4, 2, 1, 7), (1, 7, 4, 2), (4, 7, 1, 2), (1, 2, 1, 7)])
def test_corners_out_of_order_or_equal_have_no_area(corners: tuple[float, ...]) -> None:
    assert area(one(*corners)).tolist() == [0]


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((0, 0, 2, 2), (1, 1, 3, 3), 1 / 7),  # overlap 1, union 4 + 4 - 1
        ((0, 0, 4, 4), (1, 1, 3, 3), 4 / 16),  # inside
        ((0, 0, 2, 1), (1, 0, 3, 1), 1 / 3),
        ((0, 0, 2, 2), (0, 0, 2, 2), 1),
        ((0, 0, 1e-9, 1e-9), (0, 0, 1e-9, 1e-9), 1),  # however small
        ((0, 0, 2, 2), (2, 0, 4, 2), 0),  # share an edge
        ((0, 0, 1, 1), (5, 5, 6, 6), 0),  # disjoint on both axes: the overlap's sides are both negative
    ],
)
def test_iou_is_overlap_over_union(a: tuple[float, ...], b: tuple[float, ...], expected: float) -> None:
    assert paired_iou(one(*a), one(*b))[0] == pytest.approx(expected, abs=1e-15)


def test_boxes_are_paired_row_by_row() -> None:
    a = np.array([[0, 0, 1, 1], [0, 0, 2, 2]], dtype=np.float64)
    assert paired_iou(a, a[::-1]).tolist() == [0.25, 0.25]
    assert paired_iou(a, a).tolist() == [1, 1]


@pytest.mark.parametrize("other", [(3, 3, 3, 3), (0, 0, 5, 5), (3, 0, 3, 9)])
def test_a_zero_area_box_has_zero_iou_also_with_itself(other: tuple[float, ...]) -> None:
    assert paired_iou(one(3, 3, 3, 3), one(*other)).tolist() == [0]


@modestly
@given(SHARES, SHARES)
def test_iou_lies_between_zero_and_one_for_any_corners(a: Array, b: Array) -> None:
    iou = paired_iou(a, b)
    assert ((iou >= 0) & (iou <= 1)).all()


@modestly
@given(SHARES, SHARES)
def test_iou_is_symmetric(a: Array, b: Array) -> None:
    assert np.array_equal(paired_iou(a, b), paired_iou(b, a))


@modestly
@given(SHARES)
def test_a_box_with_an_area_has_iou_one_with_itself_and_any_other_zero(corners: Array) -> None:
    assert np.array_equal(paired_iou(corners, corners), (area(corners) > 0).astype(np.float64))


@modestly
@given(SHARES, SHARES, st.integers(-3, 3), st.integers(1, 8))
def test_iou_does_not_change_when_both_boxes_move_and_grow(a: Array, b: Array, shift: int, scale: int) -> None:
    assert np.array_equal(paired_iou(a * scale + shift, b * scale + shift), paired_iou(a, b))


def test_iou_changes_when_one_box_moves() -> None:
    a = one(0, 0, 1, 1)
    assert paired_iou(a, a + 0.25)[0] != paired_iou(a, a)[0]


@modestly
@given(SHARES, SHARES)
def test_iou_is_the_diagonal_of_torchvisions(a: Array, b: Array) -> None:
    a, b = ordered(a), ordered(b)
    reference = torchvision.ops.box_iou(torch.from_numpy(a), torch.from_numpy(b)).diagonal().numpy()
    assert np.allclose(paired_iou(a, b), np.nan_to_num(reference), atol=1e-12)


def test_pixels_become_shares_of_the_width_and_of_the_height() -> None:
    assert to_fractions(one(10, 20, 50, 100), np.array([100.0]), np.array([200.0])).tolist() == [[0.1, 0.1, 0.5, 0.5]]


def test_each_box_is_divided_by_its_own_images_size_not_by_a_global_maximum() -> None:
    boxes = np.array([[0, 0, 100, 50], [0, 0, 100, 50]], dtype=np.float64)
    shares = to_fractions(boxes, np.array([100.0, 400.0]), np.array([50.0, 100.0]))
    assert shares.tolist() == [[0, 0, 1, 1], [0, 0, 0.25, 0.5]]


@modestly
@given(SHARES, arrays(np.float64, 4, elements=st.integers(1, 5000).map(float)))
def test_pixels_of_shares_of_pixels_are_the_same(boxes: Array, side: Array) -> None:
    assert np.allclose(to_fractions(to_pixels(boxes, side, side[::-1]), side, side[::-1]), boxes, atol=1e-12)
