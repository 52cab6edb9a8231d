"""Intervals: by simulation they hold the true value about as often as they say, and on odd values they stand."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from localizer.boxes import Array
from localizer.evaluation import intervals
from localizer.evaluation.intervals import (
    Clusters,
    Estimate,
    bootstrap,
    mean,
    median,
    share,
    standard_error,
    t_adjusted_level,
)
from localizer.evaluation.metrics import worst_decile

Draw = Callable[[np.random.Generator, int], Array]
OfClusters = tuple[Callable[..., Estimate], float]
DRAWS = 250


def uniform(rng: np.random.Generator, images: int) -> Array:
    return rng.random(images)


def beta(rng: np.random.Generator, images: int) -> Array:
    return rng.beta(8, 2, images)


def pixels(rng: np.random.Generator, images: int) -> Array:
    """Return what errors look like: most are small."""
    return rng.exponential(1, images)


def missing_a_quarter(rng: np.random.Generator, images: int) -> Array:
    """Return what IoU looks like: most boxes are good, and the rest miss."""
    return np.where(rng.random(images) < 0.25, 0, rng.beta(8, 2, images))


def missing_a_twentieth(rng: np.random.Generator, images: int) -> Array:
    return np.where(rng.random(images) < 0.05, 0, rng.beta(8, 2, images))


def good_but_one_in_a_hundred(rng: np.random.Generator, images: int) -> Array:
    return np.where(rng.random(images) < 0.01, 0, rng.beta(30, 1.5, images))


def held(interval: Callable[[Array], Estimate], draw: Draw, truth: float, images: int) -> float:
    """Return in what share of draws the interval holds the true value."""
    rng = np.random.default_rng(images)
    found = [interval(draw(rng, images)) for _ in range(DRAWS)]
    return float(np.mean([one.low <= truth <= one.high for one in found]))


def as_promised(share: float) -> bool:
    return 0.85 <= share <= 0.95


@pytest.mark.parametrize("images", [40, 300])
@pytest.mark.parametrize(
    ("draw", "truth"), [(uniform, 0.5), (beta, 0.8), (pixels, 1), (missing_a_quarter, 0.6), (missing_a_twentieth, 0.76)]
)
def test_the_interval_of_a_mean_has_its_nominal_coverage(draw: Draw, truth: float, images: int) -> None:
    assert as_promised(held(mean, draw, truth, images))


@pytest.mark.parametrize("level", [0.7, 0.99])
def test_an_interval_of_another_level_does_not_pass_for_one_of_90_percent(level: float) -> None:
    assert not as_promised(held(partial(mean, level=level), missing_a_quarter, 0.6, 40))


@pytest.mark.parametrize("images", [40, 300])
@pytest.mark.parametrize("draw", [uniform, beta])
def test_the_interval_of_a_median_has_its_nominal_coverage(draw: Draw, images: int) -> None:
    truth = float(np.median(draw(np.random.default_rng(0), 1_000_000)))
    assert as_promised(held(median, draw, truth, images))


@pytest.mark.parametrize("truth", [0.5, 0.9])
@pytest.mark.parametrize("images", [40, 300])
def test_the_interval_of_a_share_has_its_nominal_coverage(truth: float, images: int) -> None:
    def hits(rng: np.random.Generator, images: int) -> Array:
        return (rng.random(images) < truth).astype(np.float64)

    def interval(values: Array) -> Estimate:
        return share(values.astype(bool))

    assert as_promised(held(interval, hits, truth, images))


@pytest.mark.parametrize(("draw", "images"), [(uniform, 100), (beta, 100), (uniform, 300), (missing_a_twentieth, 300)])
def test_the_interval_of_the_worst_decile_has_its_nominal_coverage(draw: Draw, images: int) -> None:
    assert as_promised(held(worst, draw, true_decile(draw), images))


def worst(values: Array) -> Estimate:
    return worst_decile(values, np.arange(len(values)))


def true_decile(draw: Draw) -> float:
    return float(np.sort(draw(np.random.default_rng(0), 1_000_000))[:100_000].mean())


@pytest.mark.parametrize(("images", "low", "high"), [(40, 0.6, 0.8), (600, 0.85, 0.95)])
def test_the_interval_ignores_misses_so_rare_that_few_images_have_one(images: int, low: float, high: float) -> None:
    assert low <= held(mean, good_but_one_in_a_hundred, 0.99 * 30 / 31.5, images) <= high


ABOVE = 0.6
OF_CLUSTERS: dict[str, OfClusters] = {  # metrics whose true value is ABOVE, or half of what lies above it
    "mean": (mean, ABOVE),
    "median": (median, ABOVE),
    "share": (lambda values, clusters: share(values > ABOVE, clusters=clusters), 0.5),
}


def videos(rng: np.random.Generator, count: int) -> tuple[Array, Clusters]:
    """Return the IoU of 200 frames of so many videos of different lengths, and which video each is of."""
    of = rng.permutation(np.repeat(np.arange(count), rng.multinomial(200 - count, np.full(count, 1 / count)) + 1))
    return ABOVE + rng.normal(0, 0.15, count)[of] + rng.normal(0, 0.1, 200), of


def coverage_over_videos(name: str, count: int, *, clustered: bool) -> float:
    interval, truth = OF_CLUSTERS[name]
    rng, found = np.random.default_rng(count), []
    for _ in range(DRAWS):
        values, of = videos(rng, count)
        found.append(interval(values, clusters=of if clustered else np.arange(200)))
    return float(np.mean([one.low <= truth <= one.high for one in found]))


@pytest.mark.parametrize("name", OF_CLUSTERS)
@pytest.mark.parametrize("count", [10, 40])
def test_intervals_over_clusters_hold_the_true_value_about_as_promised(name: str, count: int) -> None:
    assert 0.85 <= coverage_over_videos(name, count, clustered=True) <= 0.97


@pytest.mark.parametrize("name", OF_CLUSTERS)
def test_intervals_that_take_frames_for_independent_hold_it_far_too_seldom(name: str) -> None:
    assert coverage_over_videos(name, 10, clustered=False) < 0.5


def test_the_standard_error_over_clusters_is_that_of_a_ratio_of_sums() -> None:
    # Mean 3; residual sums of the clusters: (1 + 3) - 2 * 3 = -2, 5 - 3 = 2; sqrt(2 / 1 * (4 + 4)) / 3.
    error, count = standard_error(np.array([1.0, 5, 3]), np.array([7, 2, 7]))
    assert error == pytest.approx(4 / 3)
    assert count == 2


def test_with_a_cluster_for_each_image_the_standard_error_is_the_usual_one() -> None:
    values = np.random.default_rng(0).random(30)
    error, count = standard_error(values, np.arange(30))
    assert error == pytest.approx(values.std(ddof=1) / np.sqrt(30))
    assert count == 30


@pytest.mark.parametrize("name", OF_CLUSTERS)
@pytest.mark.parametrize("clusters", [np.arange(60), np.zeros(60, dtype=int)])
def test_with_one_image_per_cluster_or_one_cluster_the_interval_is_over_images(name: str, clusters: Clusters) -> None:
    interval, _ = OF_CLUSTERS[name]
    values = np.random.default_rng(0).random(60)
    assert interval(values, clusters=clusters) == interval(values, clusters=None)


@pytest.mark.parametrize("name", OF_CLUSTERS)
@pytest.mark.parametrize("count", [20, 6000])  # of clusters: resampled, and too many for that
def test_order_and_numbers_of_clusters_change_no_bit(name: str, count: int) -> None:
    interval, _ = OF_CLUSTERS[name]
    rng = np.random.default_rng(0)
    values, of = rng.random(3 * count).round(2), np.repeat(np.arange(count), 3)
    order, other = rng.permutation(len(values)), rng.permutation(count)
    assert interval(values[order], clusters=other[of][order]) == interval(values, clusters=of)


def test_both_ways_to_the_interval_of_many_clusters_agree_where_they_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    of = np.repeat(np.arange(1000), 2)
    values = rng.random(1000)[of] + rng.random(2000)
    resampled = mean(values, clusters=of)
    monkeypatch.setattr(intervals, "MAX_BOOTSTRAP", 999)
    normal = mean(values, clusters=of)
    wide = normal.high - normal.low
    assert (resampled.low, resampled.high) != (normal.low, normal.high)
    assert (resampled.low, resampled.high) == pytest.approx((normal.low, normal.high), abs=0.1 * wide)


def test_a_share_of_none_in_few_clusters_is_as_little_known_as_that_of_few_images() -> None:
    none = share(np.zeros(40, dtype=bool), clusters=np.arange(40) // 10)
    assert (none.value, none.low) == (0, 0)
    assert none.high == pytest.approx(0.8, abs=0.2)  # none of 4 alone reach up to 1 - 0.05 ** (1 / 4) = 0.53


def test_clusters_that_are_all_alike_are_their_own_interval() -> None:
    found = mean(np.array([0.1, 0.3] * 5), clusters=np.arange(10) // 2)
    assert found.low == found.high == found.value == pytest.approx(0.2)


@pytest.mark.parametrize("interval", [mean, median])
@pytest.mark.parametrize("values", [[0.3], [0.3] * 7, [0.0] * 5, [0.1 + 0.2, 0.3, 0.3]])
def test_values_that_are_all_equal_are_their_own_interval(
    interval: Callable[[Array], Estimate], values: list[float]
) -> None:
    found = interval(np.array(values))
    assert found.low == found.high == found.value == pytest.approx(values[0])


@pytest.mark.parametrize("interval", [mean, median])
def test_two_values_tell_no_more_than_that_it_lies_between(interval: Callable[[Array], Estimate]) -> None:
    found = interval(np.array([0.2, 0.6]))
    assert found.value == pytest.approx(0.4)
    assert (found.low, found.high) == (0.2, 0.6)


def test_one_odd_value_among_zeros_has_an_interval_of_numbers() -> None:
    found = mean(np.array([0.0] * 9 + [1]))
    assert 0 <= found.low < found.value == 0.1 < found.high < 1


def test_the_mean_of_a_few_symmetric_values_has_about_students_interval() -> None:
    # The variance of -4.5, -3.5, ..., 4.5 is 9.1667; Student's t for 9 degrees at 0.95 is 1.8331.
    half = 1.8331 * np.sqrt(9.1667 / 10)
    found = mean(np.arange(10, dtype=np.float64) - 4.5)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.07)


def test_rare_misses_lower_the_interval_more_than_the_percentile_bootstrap_does() -> None:
    values = np.array([0.0, 0, *[0.9] * 38])
    skewed, plain = mean(values), bootstrap(values, np.mean)
    assert skewed.low < plain.low < plain.value < skewed.high <= plain.high


@pytest.mark.parametrize("images", [50, 6000])  # resampled, and too many for that
def test_the_same_values_in_any_order_have_the_same_interval_to_the_last_bit(images: int) -> None:
    values = np.random.default_rng(0).random(images)
    assert mean(values) == mean(values[::-1]) == mean(np.random.default_rng(1).permutation(values))


def test_the_mean_of_very_many_has_the_normal_interval() -> None:
    values = np.tile([0.0, 1], 5000)
    half = 1.6448536 * 0.5 / 100  # 0.5 / sqrt(10000) is the standard error, but for N - 1
    found = mean(values)
    assert found.value == 0.5
    assert (found.low, found.high) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-6)


def test_both_ways_to_a_means_interval_agree_where_they_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    values = missing_a_quarter(np.random.default_rng(0), 3000)
    resampled = mean(values)
    monkeypatch.setattr(intervals, "MAX_BOOTSTRAP", 2999)
    normal = mean(values)
    wide = normal.high - normal.low
    assert (resampled.low, resampled.high) != (normal.low, normal.high)
    assert resampled.low == pytest.approx(normal.low, abs=0.1 * wide)
    assert resampled.high == pytest.approx(normal.high, abs=0.1 * wide)


def test_a_higher_level_has_a_wider_interval() -> None:
    values = uniform(np.random.default_rng(0), 40)
    usual, sure = mean(values), mean(values, level=0.995)
    assert sure.low < usual.low < usual.high < sure.high


@pytest.mark.parametrize(("level", "resamples"), [(0.9, 1000), (0.995, 10_000)])
def test_a_higher_level_has_more_resamples_to_have_some_beyond_its_ends(level: float, resamples: int) -> None:
    drawn = 0

    def counting(values: Array, axis: int) -> Array:
        nonlocal drawn
        drawn += len(values) if values.ndim == 2 else 0
        return values.mean(axis=axis)

    bootstrap(uniform(np.random.default_rng(0), 40), counting, level=level)
    assert drawn == pytest.approx(resamples, abs=1)  # 25 at either end of 0.005 are of 10,000


def test_a_few_images_need_a_higher_level_and_many_do_not() -> None:
    # Student's t for 39 degrees at 0.95 is 1.68488; times sqrt(40 / 39) it is 1.70634, beyond which 4.397% lie.
    assert t_adjusted_level(0.9, 40) == pytest.approx(1 - 2 * 0.04397, abs=1e-5)
    assert t_adjusted_level(0.9, 10**8) == pytest.approx(0.9)
    assert t_adjusted_level(0.9, 2) < 1


@pytest.mark.parametrize(("hits", "low", "high"), [(0, 0, 0.21294), (10, 0.78706, 1), (5, 0.26927, 0.73073)])
def test_a_share_has_wilsons_interval(hits: int, low: float, high: float) -> None:
    # z = 1.64485, z2 = 2.70554: none of 10 reach to z2 / (10 + z2); half of 10 is 0.5 -+ z / 2 / sqrt(10 + z2).
    found = share(np.arange(10) < hits)
    assert found.value == hits / 10
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-5)


def test_the_share_of_one_image_has_a_wide_interval() -> None:
    found = share(np.array([True]))
    assert (found.value, found.high) == (1, 1)
    assert found.low == pytest.approx(1 / (1 + 2.70554), abs=1e-5)
