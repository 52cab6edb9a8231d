"""Slices: boxes on an edge or without height; each image counts once per kind."""

import numpy as np
import pandas as pd
import pytest

from localizer.boxes import Array, to_fractions
from localizer.evaluation.intervals import mean
from localizer.evaluation.slices import SLICES, slice_labels, slices


def found(*boxes_px: list[float], width: int = 100, height: int = 100) -> dict[str, list[str]]:
    """Return the slices of boxes in images of one size and label, by kind."""
    images = pd.DataFrame({"label": "cat", "width": width, "height": height}, index=range(len(boxes_px)))
    true = to_fractions(np.array(boxes_px, dtype=np.float64), images["width"].to_numpy(), images["height"].to_numpy())
    return {kind: names.tolist() for kind, names in slice_labels(images, true).items()}


def many(count: int, *, labels: tuple[str, ...] = ("dog", "cat")) -> tuple[pd.DataFrame, Array]:
    """Return images whose index is out of order, and their boxes."""
    rng = np.random.default_rng(0)
    start, size = rng.uniform(0, 0.5, (count, 2)), rng.uniform(0.05, 0.5, (count, 2))
    images = pd.DataFrame({"label": rng.choice(labels, count), "width": 640, "height": 480})
    return images.set_axis(rng.permutation(count) + 1000), np.concatenate([start, start + size], axis=1)


@pytest.mark.parametrize(
    ("box_px", "expected"),
    [
        ([0, 0, 9, 11], "under 1% of the image"),
        ([0, 0, 10, 10], "1 to 5%"),
        ([0, 0, 10, 49], "1 to 5%"),
        ([0, 0, 10, 50], "5 to 20%"),
        ([10, 20, 30, 45], "5 to 20%"),  # 0.3 - 0.1 is a little less than 0.2
        ([0, 0, 40, 50], "20 to 50%"),
        ([0, 0, 50, 100], "50% or more"),
        ([0, 0, 100, 100], "50% or more"),
    ],
)
def test_a_size_belongs_to_the_slice_that_begins_with_it(box_px: list[float], expected: str) -> None:
    assert found(box_px)["size"] == [expected]


@pytest.mark.parametrize(
    ("box_px", "expected"),
    [
        ([0, 0, 19, 30], "tall (under 2:3)"),
        ([10, 20, 30, 50], "about square"),  # 2:3
        ([0, 0, 30, 30], "about square"),
        ([0, 0, 29, 20], "about square"),
        ([0, 0, 30, 20], "wide (3:2 or more)"),
        ([10, 20, 40, 40], "wide (3:2 or more)"),  # 0.4 - 0.1 and 0.4 - 0.2 are not exact
    ],
)
def test_an_aspect_belongs_to_the_slice_that_begins_with_it(box_px: list[float], expected: str) -> None:
    assert found(box_px)["aspect"] == [expected]


@pytest.mark.parametrize(("left", "top"), [(left, top) for left in range(0, 60, 7) for top in range(0, 60, 11)])
def test_an_aspect_of_three_to_two_is_wide_wherever_the_box_is(left: int, top: int) -> None:
    assert found([left, top, left + 30, top + 20], width=97, height=89)["aspect"] == ["wide (3:2 or more)"]


def test_an_aspect_is_that_of_pixels_not_of_shares() -> None:
    assert found([0, 0, 100, 100], width=400, height=100)["aspect"] == ["about square"]


def test_boxes_without_width_or_height_have_a_slice_and_raise_no_warning() -> None:
    no_height, no_width, neither = [10.0, 10, 30, 10], [10.0, 10, 10, 30], [10.0, 10, 10, 10]
    wide, tall = "wide (3:2 or more)", "tall (under 2:3)"
    assert found(no_height, no_width, neither)["aspect"] == [wide, tall, wide]


@pytest.mark.parametrize(
    ("center", "expected"),
    [
        ((0, 0), "top left"),
        ((29, 29), "top left"),
        ((30, 30), "middle centre"),  # at exactly 1/3
        ((45, 29), "top centre"),
        ((60, 59), "middle right"),  # at exactly 2/3
        ((59, 60), "bottom centre"),
        ((60, 60), "bottom right"),
        ((90, 90), "bottom right"),  # on the edge of the image
    ],
)
def test_a_position_belongs_to_the_third_that_begins_with_it(center: tuple[int, int], expected: str) -> None:
    x, y = center
    assert found([x, y, x, y], width=90, height=90)["position"] == [expected]


@pytest.mark.parametrize(
    ("width", "left", "right", "expected"),
    [(36, 5.1, 18.9, "middle centre"), (30, 3.8, 16.2, "middle centre"), (33, 11.7, 32.3, "middle right")],
)
def test_a_third_is_exact_though_shares_of_a_pixel_are_not(
    width: int, left: float, right: float, expected: str
) -> None:
    assert found([left, 3, right, 6], width=width, height=9)["position"] == [expected]


def test_labels_are_slices_only_when_there_are_several() -> None:
    assert "label" not in slice_labels(*many(20, labels=("cat",)))
    assert slice_labels(*many(20))["label"].cat.categories.tolist() == ["cat", "dog"]


def test_each_kind_counts_every_image_once() -> None:
    images, true = many(300)
    table = slices(slice_labels(images, true), np.random.default_rng(1).random(300), np.arange(300))
    assert table.columns.tolist() == SLICES
    assert table.groupby("kind")["images"].sum().to_dict() == dict.fromkeys(
        ["label", "size", "aspect", "position"], 300
    )


def test_the_frames_index_is_kept_and_its_order_is_the_boxes() -> None:
    images, true = many(50)
    plain = slice_labels(images.reset_index(drop=True), true)
    for kind, names in slice_labels(images, true).items():
        assert names.index.equals(images.index)
        assert names.tolist() == plain[kind].tolist()


def test_a_slice_has_the_mean_of_its_own_images() -> None:
    images, true = many(60)
    iou = np.random.default_rng(1).random(60)
    table = slices(slice_labels(images, true), iou, np.arange(len(iou)))
    row = table[table["slice"] == "cat"].iloc[0]
    expected = mean(iou[(images["label"] == "cat").to_numpy()])
    assert [row["mean_iou"], row["low"], row["high"]] == pytest.approx(
        [expected.value, expected.low, expected.high], abs=1e-6
    )


def test_slices_stand_in_a_fixed_order_and_those_without_images_are_left_out() -> None:
    images = pd.DataFrame({"label": ["b", "a"], "width": 100, "height": 100})
    true = np.array([[0.0, 0, 1, 1], [0, 0, 0.05, 0.1]])
    table = slices(slice_labels(images, true), np.array([0.25, 0.75]), np.arange(2))
    assert list(zip(table["kind"], table["slice"], table["mean_iou"], strict=True)) == [
        ("label", "a", 0.75),
        ("label", "b", 0.25),
        ("size", "under 1% of the image", 0.75),
        ("size", "50% or more", 0.25),
        ("aspect", "tall (under 2:3)", 0.75),
        ("aspect", "about square", 0.25),
        ("position", "top left", 0.75),
        ("position", "middle centre", 0.25),
    ]


@pytest.mark.parametrize("iou", [[0.3], [0.0, 0.0, 0.0]])
def test_one_image_or_images_all_alike_have_no_interval(iou: list[float]) -> None:
    same = {"aspect": pd.Series(pd.Categorical(["tall"] * len(iou)))}
    (row,) = slices(same, np.array(iou), np.arange(len(iou))).to_dict(orient="records")
    assert row["mean_iou"] == iou[0]
    assert np.isnan([row["low"], row["high"]]).all()
    two = {"aspect": pd.Series(pd.Categorical(["tall"] * 2))}
    (row,) = slices(two, np.array([0.3, 0.5]), np.arange(2)).to_dict(orient="records")
    assert row["low"] < row["high"]  # the control
