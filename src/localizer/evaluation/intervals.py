"""Intervals: between which values a measure lies, if other test images of the same kind had been drawn.

By simulation those of a mean, a median and a share hold the true value in 86 to 95% of draws where 90% are promised,
from 40 images on. They are too narrow with fewer, and where what makes the mean is so rare that a test side may have
none of it: 84% for 40 images of which 2 in 100 are missed.
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


@dataclass(frozen=True)
class Estimate:
    """A measure on the images that there are, and its interval."""

    value: float
    low: float
    high: float


def mean(values: Array, *, level: float = LEVEL) -> Estimate:
    """Return the mean of [N], N >= 1, with its bootstrap interval (BCa, Efron 1987), or the normal one of many."""
    if len(values) <= MOST_RESAMPLED:
        return estimate(values, np.mean, method="BCa", level=level)
    ordered = np.sort(values)
    value, half = float(ordered.mean()), float(stats.norm.ppf((1 + level) / 2) * stats.sem(ordered))
    return Estimate(value, value - half, value + half)


def estimate(values: Array, statistic: Statistic, *, method: str = "percentile", level: float = LEVEL) -> Estimate:
    """Return a statistic of [N], N >= 1, with its bootstrap interval: the same for the same values in any order.

    Where all values are equal, resampling can't tell anything, and the interval is that one value.
    """
    ordered = np.sort(values)
    value = float(statistic(ordered, axis=-1))
    if np.ptp(ordered) <= ALIKE * max(1.0, np.abs(ordered).max()):
        return Estimate(value, value, value)
    found = stats.bootstrap(
        (ordered,),
        statistic,
        n_resamples=max(RESAMPLES, math.ceil(2 * BEYOND / (1 - level))),
        batch=max(1, DRAWN_AT_ONCE // len(values)),
        vectorized=True,
        confidence_level=widened(level, len(values)),
        method=method,
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Estimate(value, float(found.low), float(found.high))


def widened(level: float, images: int) -> float:
    """Return the level that a bootstrap of so few images, 2 or more, must be asked for, to come out at `level`.

    It has Student's t and the N - 1 that resampling lacks (Hesterberg 2015, doi:10.1080/00031305.2015.1089789).
    """
    beyond = stats.norm.sf(math.sqrt(images / (images - 1)) * stats.t.ppf((1 + level) / 2, images - 1))
    return float(1 - 2 * max(beyond, 1e-6))


def share(hits: NDArray[np.bool_], *, level: float = LEVEL) -> Estimate:
    """Return the share of True in [N], N >= 1, with Wilson's interval: a bootstrap of 0 or all of N has no width."""
    found = stats.binomtest(int(hits.sum()), len(hits)).proportion_ci(level, method="wilson")
    return Estimate(float(hits.mean()), float(found.low), float(found.high))
