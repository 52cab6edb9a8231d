"""The margin and the trust that a calibration side teaches, by hand and by simulation."""

import numpy as np
import pytest

from localizer.boxes import Array
from localizer.calibration import (
    COVERAGE,
    Calibration,
    calibrate,
    coverage_range,
    margin_px,
    mean_side,
    pooled_coverage_range,
    protrusion,
)

PRED_PX = np.array([[10.0, 10, 30, 50]])  # 20 x 40, of a mean side of 30


def shifted(scores: Array) -> tuple[Array, Array]:
    """Return predicted boxes of 100 x 100 pixels and true ones that stick out to the right by the scores' share."""
    pred_px = np.tile([0.0, 0, 100, 100], (len(scores), 1))
    return pred_px, pred_px + np.outer(scores * 100, [0, 0, 1, 0])


@pytest.mark.parametrize(
    ("true_px", "out"),
    [
        ([10, 10, 30, 50], 0),
        ([12, 15, 28, 40], 0),  # inside
        ([7, 10, 30, 50], 3),
        ([10, 6, 30, 50], 4),
        ([10, 10, 35, 50], 5),
        ([10, 10, 30, 56], 6),
        ([7, 6, 35, 56], 6),  # the side that sticks out most counts
        ([40, 10, 60, 50], 30),  # beside it
    ],
)
def test_the_excess_is_how_far_the_true_box_sticks_out_at_most(true_px: list[float], out: float) -> None:
    assert protrusion(PRED_PX, np.array([true_px], dtype=np.float64)).tolist() == [out]


def test_the_scale_is_the_mean_side_and_at_least_a_pixel() -> None:
    boxes_px = np.array([[10.0, 10, 30, 50], [5, 5, 5, 5], [5, 5, 5.5, 5.5]])
    assert mean_side(boxes_px).tolist() == [30, 1, 1]


def test_the_margin_is_a_share_of_the_predicted_box() -> None:
    found = calibrate(np.tile(PRED_PX, (9, 1)), np.tile([10.0, 10, 30, 56], (9, 1)), np.ones(9))
    assert found.margin == pytest.approx(6 / 30)
    larger_px = np.array([[0.0, 0, 100, 200]])
    assert margin_px(found, larger_px, width=np.array([640]), height=np.array([480])) == pytest.approx([30])  # of 150


@pytest.mark.parametrize(
    ("images", "rank"), [(0, None), (1, None), (8, None), (9, 9), (10, 10), (18, 18), (19, 18), (29, 27), (99, 90)]
)
def test_the_margin_is_the_score_of_the_conformal_rank(images: int, rank: int | None) -> None:
    scores = np.random.default_rng(0).permutation(np.arange(1, images + 1)) / 100
    found = calibrate(*shifted(scores), np.ones(images))
    assert found.images == images
    assert found.margin == (None if rank is None else pytest.approx(rank / 100))


def test_too_few_images_give_the_longer_side_of_each_image_as_margin() -> None:
    width, height = np.array([640, 480]), np.array([480, 500])
    found = margin_px(Calibration(8, None, None), np.tile(PRED_PX, (2, 1)), width=width, height=height)
    assert found.tolist() == [640, 500]


@pytest.mark.parametrize(("images", "place"), [(11, 1), (100, 9), (101, 10)])
def test_the_agreement_is_one_that_nine_tenths_reach(images: int, place: int) -> None:
    agreement = np.arange(images) / images
    found = calibrate(*shifted(np.zeros(images)), np.random.default_rng(0).permutation(agreement))
    assert found.agreement is not None
    assert found.agreement == agreement[place]
    assert (agreement >= found.agreement).mean() >= 0.9


def test_boxes_that_do_not_touch_are_never_trusted_however_many_of_the_side_do_not() -> None:
    found = calibrate(*shifted(np.zeros(20)), np.where(np.arange(20) < 5, 0.0, 0.9))
    assert found.agreement == 0.01


def test_without_images_there_is_neither_margin_nor_agreement() -> None:
    nothing = np.empty((0, 4))
    assert calibrate(nothing, nothing, np.empty(0)) == Calibration(0, None, None)


@pytest.mark.parametrize("images", [9, 40, 200])
def test_new_boxes_are_held_as_often_as_promised_and_hardly_more(images: int) -> None:
    rng = np.random.default_rng(images)
    held = []
    for _ in range(2000):
        margin = calibrate(*shifted(rng.exponential(0.1, images)), np.ones(images)).margin
        held.append(1 - np.exp(-(margin or 0) / 0.1))  # the share of all new scores that are below it
    exact = np.ceil((images + 1) * COVERAGE) / (images + 1)
    assert np.mean(held) == pytest.approx(exact, abs=0.005)
    assert COVERAGE <= exact <= COVERAGE + 1 / (images + 1)


@pytest.mark.parametrize(("images", "new"), [(20, 30), (200, 300)])
def test_chance_lets_coverage_leave_its_range_as_seldom_as_the_level_says(images: int, new: int) -> None:
    rng = np.random.default_rng(0)
    rank = int(np.ceil((images + 1) * COVERAGE))
    margins = np.partition(rng.random((20_000, images)), rank - 1, axis=1)[:, rank - 1]  # of uniform scores
    covered = rng.binomial(new, margins) / new
    low, high = coverage_range(Calibration(images, 0.1, 0.5), new, level=0.9)
    assert (covered < low).mean() <= 0.055
    assert (covered > high).mean() <= 0.055
    assert (covered <= low).mean() >= 0.045  # no wider than it must be
    assert (covered >= high).mean() >= 0.045


def test_more_images_narrow_what_chance_allows() -> None:
    few, many = (coverage_range(Calibration(images, 0.1, 0.5), images) for images in (30, 3000))
    assert few[0] < many[0] < COVERAGE < many[1] < few[1]


def test_where_images_come_in_clusters_chance_allows_what_as_many_images_as_clusters_would() -> None:
    images, clusters = Calibration(90, 0.1, 0.5), Calibration(30, 0.1, 0.5)
    assert coverage_range(images, 20, calibrated=30) == coverage_range(clusters, 20)


def test_clusters_too_few_for_a_margin_allow_almost_anything() -> None:
    # The largest of 4: betabinom(10, 4, 1) is 0 with a probability of 10! 4! / 14! * 4 / 4! = 1 / 1001, up to 2 with
    # 15 / 1001, and up to 1 with 5 / 1001.
    assert coverage_range(Calibration(90, 0.1, 0.5), 10, calibrated=4) == (0.2, 1)


def test_a_margin_that_holds_any_box_holds_all() -> None:
    assert coverage_range(Calibration(0, None, None), 10) == (1, 1)


def test_a_margin_of_zero_may_hold_all_boxes_where_most_are_larger_than_the_true_ones() -> None:
    usual, none = (coverage_range(Calibration(99, margin, 0.5), 100) for margin in (0.1, 0.0))
    assert usual == (0.77, 0.98)  # scipy.stats.betabinom(100, 90, 10).ppf([0.005, 0.995])
    assert none == (0.77, 1)


def test_the_pooled_range_of_one_model_is_its_own() -> None:
    calibration = Calibration(40, 0.1, 0.5)
    assert pooled_coverage_range([(calibration, 30, None)]) == coverage_range(calibration, 30)


def test_the_pooled_range_of_several_models_is_that_of_simulated_sums() -> None:
    parts = [
        (Calibration(20, 0.1, 0.5), 30, None),
        (Calibration(40, 0.1, 0.5), 50, 30),
        (Calibration(5, None, None), 9, None),
    ]
    rng = np.random.default_rng(0)
    # of n calibration scores that of rank ceil(0.9 (n + 1)) is the margin; the coverage is a beta variate
    covered = 9 + rng.binomial(30, rng.beta(19, 2, 400_000)) + rng.binomial(50, rng.beta(28, 3, 400_000))
    low, high = np.quantile(covered, [0.005, 0.995])
    assert pooled_coverage_range(parts) == pytest.approx((low / 89, high / 89), abs=1.5 / 89)


def test_a_margin_of_0_in_one_fold_lets_all_be_covered() -> None:
    parts = [(Calibration(20, margin, 0.5), 30, None) for margin in (0.1, 0.0)]
    assert pooled_coverage_range(parts)[1] == 1
