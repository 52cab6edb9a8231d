"""Intervals: between which values a measure lies, if other test images of the same kind had been drawn.

By simulation those of a mean, a median and a share hold the true value in 86 to 95% of draws where 90% are promised,
from 40 images on. They are too narrow with fewer, and where what makes the mean is so rare that a test side may have
none of it: of 40 images, 84% if 2 in 100 are missed and the rest are spread (Beta(8, 2)), 62% if the rest are all good
(Beta(30, 1.5)), whose mean is the higher for it.

Images of one cluster, as frames of one video are, tell little more than one of them: clusters [N] has a number for
each, and where some are equal whole clusters are resampled. Images that all are of one cluster tell nothing of others:
then an interval is that of other images of this cluster.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from localizer.boxes import Array

LEVEL = 0.9
RESAMPLES = 1000  # at LEVEL; a higher level needs more, to have some beyond its ends
BEYOND = 25  # resamples at either end
MOST_RESAMPLED = 5000  # images: the mean of more is as good as normal
DRAWN_AT_ONCE = 5_000_000  # numbers, of 8 bytes
ALIKE = 1e-12  # of the largest value: what rounding does to equal ones

Statistic = Callable[..., Array]  # of (values [..., N], axis)
Clusters = NDArray[np.int64]


@dataclass(frozen=True)
class Estimate:
    """A measure on the images that there are, and its interval."""

    value: float
    low: float
    high: float


def mean(values: Array, *, clusters: Clusters | None = None, level: float = LEVEL) -> Estimate:
    """Return the mean of [N], N >= 1, with its bootstrap interval (BCa, Efron 1987), or the normal one of many."""
    if clusters is not None and _are_several(clusters):
        return _mean_of_clusters(values, clusters, level=level)
    if len(values) <= MOST_RESAMPLED:
        return estimate(values, np.mean, method="BCa", level=level)
    ordered = np.sort(values)
    value, half = float(ordered.mean()), float(stats.norm.ppf((1 + level) / 2) * stats.sem(ordered))
    return Estimate(value, value - half, value + half)


def median(values: Array, *, clusters: Clusters | None = None) -> Estimate:
    """Return the median of [N], N >= 1, with its bootstrap interval; that of clusters is Woodruff's (1952)."""
    if clusters is None or not _are_several(clusters):
        return estimate(values, np.median)
    value = float(np.median(values))
    below = share(values <= value, clusters=clusters)
    places = np.clip([0.5 - (below.value - below.low), 0.5 + (below.high - below.value)], 0, 1)
    low, high = np.quantile(values, places)
    return Estimate(value, float(low), float(high))


def share(hits: NDArray[np.bool_], *, clusters: Clusters | None = None) -> Estimate:
    """Return the share of True in [N], N >= 1, with Wilson's interval: a bootstrap of 0 or all of N has no width.

    That of clusters is Korn and Graubard's (1998): the exact one of as many images as tell as much if independent.
    """
    value, beyond = float(hits.mean()), (1 - LEVEL) / 2
    if clusters is None or not _are_several(clusters):
        found = stats.binomtest(int(hits.sum()), len(hits)).proportion_ci(LEVEL, method="wilson")
        return Estimate(value, float(found.low), float(found.high))
    error, count = standard_error(hits.astype(float), clusters)
    as_many = min(len(hits), value * (1 - value) / error**2) if error else count
    as_many *= (stats.t.ppf(beyond, len(hits) - 1) / stats.t.ppf(beyond, count - 1)) ** 2
    hit, missed = as_many * value, as_many * (1 - value)
    low = stats.beta.ppf(beyond, hit, missed + 1) if hit else 0
    high = stats.beta.ppf(1 - beyond, hit + 1, missed) if missed else 1
    return Estimate(value, float(low), float(high))


def _are_several(clusters: Clusters) -> bool:
    """Return whether [N] has more than one cluster, and one of them more than one image."""
    return 1 < len(np.unique(clusters)) < len(clusters)


def standard_error(values: Array, clusters: Clusters) -> tuple[float, int]:
    """Return the standard error of the mean of [N] over clusters, and how many these are, at least 2.

    It is linearised (Taylor), as of a ratio of two sums; with a cluster for each image it is the usual one.
    """
    sums, counts = _sums(values, clusters)
    rest = sums - counts * (sums.sum() / counts.sum())
    return math.sqrt(len(sums) / (len(sums) - 1) * float(rest @ rest)) / len(values), len(sums)


def _mean_of_clusters(values: Array, clusters: Clusters, *, level: float) -> Estimate:
    sums, counts = _sums(values, clusters)
    value = float(sums.sum() / counts.sum())
    if np.ptp(sums / counts) <= ALIKE * max(1.0, np.abs(values).max()):
        return Estimate(value, value, value)
    if len(sums) <= MOST_RESAMPLED:
        return _resampled((sums, counts), _ratio, value=value, method="BCa", level=level)
    half = float(stats.norm.ppf((1 + level) / 2)) * standard_error(values, clusters)[0]
    return Estimate(value, value - half, value + half)


def _sums(values: Array, clusters: Clusters) -> tuple[Array, Array]:
    """Return sum and count of each cluster, in an order that is the same for any order and numbering of the images."""
    order = np.argsort(values, kind="stable")
    _, codes, counts = np.unique(clusters[order], return_inverse=True, return_counts=True)
    sums = np.bincount(codes, values[order]).astype(np.float64)
    ranked = np.lexsort((counts, sums))
    return sums[ranked], counts[ranked].astype(np.float64)


def _ratio(sums: Array, counts: Array, axis: int = -1) -> Array:
    return np.asarray(sums.sum(axis=axis) / counts.sum(axis=axis))


def estimate(values: Array, statistic: Statistic, *, method: str = "percentile", level: float = LEVEL) -> Estimate:
    """Return a statistic of [N], N >= 1, with its bootstrap interval: the same for the same values in any order.

    Where all values are equal, resampling can't tell anything, and the interval is that one value.
    """
    ordered = np.sort(values)
    value = float(statistic(ordered, axis=-1))
    if np.ptp(ordered) <= ALIKE * max(1.0, np.abs(ordered).max()):
        return Estimate(value, value, value)
    return _resampled((ordered,), statistic, value=value, method=method, level=level)


def _resampled(
    samples: tuple[Array, ...], statistic: Statistic, *, value: float, method: str, level: float
) -> Estimate:
    count = len(samples[0])
    found = stats.bootstrap(
        samples,
        statistic,
        n_resamples=max(RESAMPLES, math.ceil(2 * BEYOND / (1 - level))),
        batch=max(1, DRAWN_AT_ONCE // count),
        vectorized=True,
        paired=len(samples) > 1,
        confidence_level=widened(level, count),
        method=method,
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Estimate(value, float(found.low), float(found.high))


def widened(level: float, count: int) -> float:
    """Return the level that a bootstrap of so few, 2 or more, must be asked for, to come out at `level`.

    It has Student's t and the N - 1 that resampling lacks (Hesterberg 2015, doi:10.1080/00031305.2015.1089789).
    """
    beyond = stats.norm.sf(math.sqrt(count / (count - 1)) * stats.t.ppf((1 + level) / 2, count - 1))
    return float(1 - 2 * max(beyond, 1e-6))
