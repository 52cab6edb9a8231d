"""Metrics worked by hand, per image and over a test split."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torchvision.ops import generalized_box_iou

from localizer.boxes import Array
from localizer.evaluation.intervals import Clusters, Estimate, mean, share
from localizer.evaluation.metrics import THRESHOLDS, curve, per_image, summarize, worst_decile

IOU = np.array([0, 0.4, 0.5, 0.75, 1])


def one(pred_px: list[float], true_px: list[float]) -> dict[str, float]:
    """Return the row of one pair of boxes."""
    row = per_image(np.array([pred_px], dtype=np.float64), np.array([true_px], dtype=np.float64)).iloc[0]
    return {str(name): float(value) for name, value in row.items()}


def images(iou: Array) -> pd.DataFrame:
    """Return rows of `per_image` with that IoU, and errors of 1, 2, 3, ... pixels, twice and thrice that."""
    error = np.arange(1.0, len(iou) + 1)
    errors = {"centre_error_px": error, "width_error_px": 2 * error, "height_error_px": 3 * error}
    return pd.DataFrame({"iou": iou, "giou": iou - 0.5, **errors})


def independent(iou: Array) -> Clusters:
    """Return a cluster for each image."""
    return np.arange(len(iou))


def summed(iou: Array) -> dict[str, Estimate]:
    return summarize(images(iou), independent(iou))


def test_a_box_on_its_place_has_no_error() -> None:
    found = one([10, 20, 30, 60], [10, 20, 30, 60])
    errors = {"centre_error_px": 0, "width_error_px": 0, "height_error_px": 0}
    assert found == pytest.approx({"iou": 1, "giou": 1} | errors)


def test_a_box_moved_by_half_its_width_has_an_iou_of_a_third() -> None:
    found = one([0, 0, 10, 10], [5, 0, 15, 10])  # 50 of 150, which fill their hull
    assert (found["iou"], found["giou"]) == pytest.approx((1 / 3, 1 / 3))


def test_boxes_apart_have_no_iou_and_a_giou_below_zero() -> None:
    found = one([0, 0, 10, 10], [20, 0, 30, 10])  # a third of the hull is in neither
    assert (found["iou"], found["giou"]) == pytest.approx((0, -1 / 3))


def test_the_error_of_the_centre_is_its_distance() -> None:
    found = one([0, 0, 10, 10], [3, 4, 13, 14])
    assert (found["centre_error_px"], found["width_error_px"], found["height_error_px"]) == (5, 0, 0)


def test_width_and_height_errors_are_absolute() -> None:
    found = one([0, 0, 10, 40], [0, 0, 16, 33])
    assert (found["width_error_px"], found["height_error_px"]) == (6, 7)
    assert found["centre_error_px"] == pytest.approx(np.hypot(3, 3.5))


@pytest.mark.parametrize("true_px", [[0, 0, 10, 10], [5, 5, 5, 5], [7, 7, 7, 7]])
def test_a_box_without_an_area_has_numbers_all_the_same(true_px: list[float]) -> None:
    found = one([5, 5, 5, 5], true_px)
    assert found["iou"] == 0
    assert -1 <= found["giou"] <= 1


def test_giou_is_torchvisions() -> None:
    corners = np.random.default_rng(0).uniform(0, 640, (50, 2, 2, 2))
    boxes_px = np.sort(corners, axis=2).reshape(50, 2, 4)
    expected = generalized_box_iou(torch.tensor(boxes_px[:, 0]), torch.tensor(boxes_px[:, 1])).diagonal()
    assert per_image(boxes_px[:, 0], boxes_px[:, 1])["giou"].to_numpy() == pytest.approx(expected.numpy(), abs=1e-6)


def test_the_arrays_of_a_table_which_cannot_be_written_to_are_measured() -> None:
    box_px = np.array([[0.0, 0, 10, 10]])
    box_px.flags.writeable = False
    assert per_image(box_px, box_px)["iou"].tolist() == [1]


def test_iou_is_summed_up_by_mean_median_and_shares_at_or_above_a_threshold() -> None:
    found = {name: metric.value for name, metric in summed(IOU).items()}
    assert found == {
        "mean_iou": pytest.approx(0.53),  # 2.65 / 5
        "median_iou": 0.5,
        "worst_decile_iou": 0,
        "mean_giou": pytest.approx(0.03),
        "iou_50": 3 / 5,  # 0.5 itself counts
        "iou_75": 2 / 5,
        "iou_90": 1 / 5,
        "iou_50_95": pytest.approx(17 / 50),  # 0.5 reaches 1 threshold of ten, 0.75 reaches 6, and 1 all
        "centre_error_px": 3,
        "width_error_px": 6,
        "height_error_px": 9,
    }


def test_every_measure_of_several_images_lies_in_its_interval() -> None:
    found = summed(np.random.default_rng(0).random(50))
    assert all(one.low < one.value < one.high for name, one in found.items() if name != "worst_decile_iou")


def test_shares_have_wilsons_interval_and_means_the_bootstraps() -> None:
    found = summed(IOU)
    assert found["iou_75"] == share(IOU >= 0.75)
    assert found["mean_iou"] == mean(IOU)


def test_the_thresholds_are_cocos_ten() -> None:
    assert THRESHOLDS.tolist() == [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]


def test_the_area_is_the_mean_of_ten_shares() -> None:
    iou = np.random.default_rng(0).random(30)
    shares = [float((iou >= threshold).mean()) for threshold in THRESHOLDS]
    assert summed(iou)["iou_50_95"].value == pytest.approx(sum(shares) / 10)


@pytest.mark.parametrize(
    ("count", "expected"), [(1, 0), (2, 0), (10, 0), (15, 0), (20, 0.005), (25, 0.005), (39, 0.01), (40, 0.015)]
)
def test_the_worst_decile_is_the_mean_of_the_lowest_tenth_rounded_down_but_of_one(count: int, expected: float) -> None:
    iou = np.random.default_rng(0).permutation(np.arange(count) / 100)  # 0, 0.01, 0.02, ...
    assert worst_decile(iou, independent(iou)).value == pytest.approx(expected)


@pytest.mark.parametrize("count", [100, 150, 400])
def test_the_interval_of_the_worst_decile_contains_its_value_and_nothing_below_zero(count: int) -> None:
    iou = np.random.default_rng(count).beta(8, 2, count)
    found = worst_decile(iou, independent(iou))
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_the_worst_decile_of_iou_is_never_below_zero() -> None:
    iou = np.array([*[0.0] * 10, 0.8, *[0.9] * 89])
    found = worst_decile(iou, independent(iou))
    assert (found.low, found.value) == (0, 0)


@pytest.mark.parametrize(("clusters", "known"), [(np.arange(99), False), (np.arange(200) // 2, True)])
def test_fewer_than_100_independent_images_tell_no_interval_of_the_worst_decile(
    clusters: Clusters, known: bool
) -> None:
    found = worst_decile(np.random.default_rng(0).beta(8, 2, len(clusters)), clusters)
    assert (not math.isnan(found.low), not math.isnan(found.high)) == (known, known)


def test_one_image_is_its_own_summary() -> None:
    found = summed(np.array([0.6]))
    names = ("mean_iou", "median_iou")
    assert [(found[name].low, found[name].value, found[name].high) for name in names] == [(0.6, 0.6, 0.6)] * 2
    assert found["worst_decile_iou"].value == 0.6


def test_the_curve_has_a_row_every_twentieth_from_0_to_1() -> None:
    assert curve(IOU, independent(IOU))["iou"].tolist() == [index / 20 for index in range(21)]


@pytest.mark.parametrize(
    ("threshold", "expected"), [(0, 1), (0.05, 0.8), (0.4, 0.8), (0.45, 0.6), (0.5, 0.6), (0.55, 0.4), (1, 0.2)]
)
def test_the_curve_gives_the_share_of_images_at_a_threshold_or_above(threshold: float, expected: float) -> None:
    assert curve(IOU, independent(IOU)).set_index("iou")["share"][threshold] == expected


def test_the_curve_never_rises_and_agrees_with_the_measures() -> None:
    iou = np.random.default_rng(0).random(200)
    found, metrics = curve(iou, independent(iou)), summed(iou)
    assert (np.diff(found["share"]) <= 0).all()
    for row, name in ((10, "iou_50"), (15, "iou_75"), (18, "iou_90")):
        metric = metrics[name]
        assert found.loc[row, ["share", "low", "high"]].to_numpy().tolist() == pytest.approx(
            [metric.value, metric.low, metric.high], abs=1e-6
        )
