"""Metrics of IoU, and the constants that a model has to beat."""

import numpy as np
import pytest

from localizer.evaluation.metrics import centre_box, constant_iou, iou_curve, iou_metrics, mean_box

IOU = np.array([0, 0.4, 0.5, 0.75, 1])
BOXES = np.array([[0, 0, 0.5, 1], [0.5, 0, 1, 1]], dtype=np.float64)  # the two halves


def test_iou_is_summed_up_by_mean_median_and_shares_at_or_above_a_threshold() -> None:
    assert iou_metrics(IOU) == {
        "mean_iou": pytest.approx(0.53),  # 2.65 / 5
        "median_iou": 0.5,
        "iou_50": 3 / 5,  # 0.5 itself counts
        "iou_75": 2 / 5,  # so does 0.75
    }


def test_metrics_are_plain_floats() -> None:
    assert {type(value) for value in iou_metrics(IOU).values()} == {float}


def test_the_mean_box_is_the_mean_of_each_edge() -> None:
    assert mean_box(BOXES).tolist() == [0.25, 0, 0.75, 1]


def test_the_mean_box_is_the_best_constant_under_squared_error() -> None:
    def error(box: np.ndarray) -> float:
        return float(((BOXES - box) ** 2).sum())

    best = mean_box(BOXES)
    assert all(error(best) < error(best + step) for step in 0.01 * np.concatenate([np.eye(4), -np.eye(4)]))


def test_the_centre_box_has_the_mean_size_wherever_the_boxes_are() -> None:
    boxes = np.array([[0, 0, 0.2, 0.4], [0, 0, 0.4, 0.2]])  # mean 0.3 x 0.3
    assert centre_box(boxes) == pytest.approx([0.35, 0.35, 0.65, 0.65])
    moved = boxes + np.array([0.5, 0.1, 0.5, 0.1])
    assert centre_box(moved) == pytest.approx([0.35, 0.35, 0.65, 0.65])


def test_a_constants_iou_is_the_mean_over_the_boxes() -> None:
    # The middle half meets each outer half in a quarter: 0.25 / (0.5 + 0.5 - 0.25) = 1/3.
    assert constant_iou(mean_box(BOXES), BOXES) == pytest.approx(1 / 3)
    assert constant_iou(BOXES[0], BOXES) == 0.5  # 1 with itself, 0 with the other half


def test_a_constant_without_an_area_scores_zero() -> None:
    assert constant_iou(np.full(4, 0.5), BOXES) == 0


def test_the_curve_has_a_row_every_twentieth_from_0_to_1() -> None:
    curve = iou_curve(IOU)
    assert curve[:, 0].tolist() == [index / 20 for index in range(21)]


@pytest.mark.parametrize(
    ("threshold", "share"), [(0, 1), (0.05, 0.8), (0.4, 0.8), (0.45, 0.6), (0.5, 0.6), (0.55, 0.4), (1, 0.2)]
)
def test_the_curve_gives_the_share_of_images_at_a_threshold_or_above(threshold: float, share: float) -> None:
    curve = iou_curve(IOU)
    assert dict(zip(curve[:, 0], curve[:, 1], strict=True))[threshold] == share


def test_the_curve_never_rises_and_agrees_with_the_metrics() -> None:
    iou = np.random.default_rng(0).uniform(size=200)
    curve = iou_curve(iou)
    assert (np.diff(curve[:, 1]) <= 0).all()
    assert curve[10, 1] == iou_metrics(iou)["iou_50"]
    assert curve[15, 1] == iou_metrics(iou)["iou_75"]
