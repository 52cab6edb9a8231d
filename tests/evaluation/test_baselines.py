"""Boxes that need no model, which a model has to beat."""

import numpy as np
import pytest

from localizer.boxes import Array
from localizer.evaluation.metrics import centre_box, constant_iou, mean_box

BOXES = np.array([[0, 0, 0.5, 1], [0.5, 0, 1, 1]], dtype=np.float64)  # the two halves


def test_the_mean_box_is_the_mean_of_each_edge() -> None:
    assert mean_box(BOXES).tolist() == [0.25, 0, 0.75, 1]


def test_the_mean_box_is_the_best_constant_under_squared_error() -> None:
    def error(box: Array) -> float:
        return float(((BOXES - box) ** 2).sum())

    best = mean_box(BOXES)
    assert all(error(best) < error(best + step) for step in 0.01 * np.concatenate([np.eye(4), -np.eye(4)]))


def test_the_centre_box_has_the_mean_size_wherever_the_boxes_are() -> None:
    boxes = np.array([[0, 0, 0.2, 0.4], [0, 0, 0.4, 0.2]])  # mean 0.3 x 0.3
    assert centre_box(boxes) == pytest.approx([0.35, 0.35, 0.65, 0.65])
    moved = boxes + np.array([0.5, 0.1, 0.5, 0.1])
    assert centre_box(moved) == pytest.approx([0.35, 0.35, 0.65, 0.65])


def test_a_constant_is_measured_on_each_box() -> None:
    # The middle half meets each outer half in a quarter: 0.25 / (0.5 + 0.5 - 0.25) = 1/3.
    assert constant_iou(mean_box(BOXES), BOXES) == pytest.approx([1 / 3, 1 / 3])
    assert constant_iou(BOXES[0], BOXES).tolist() == [1, 0]


def test_a_constant_without_an_area_scores_zero() -> None:
    assert constant_iou(np.full(4, 0.5), BOXES).tolist() == [0, 0]
