"""Conformal calibration: a margin around the predicted box, and a threshold for confidence.

Both are fitted on the calibration split. The margin is split-conformal (Vovk et al. 2005; Angelopoulos and Bates 2021,
arXiv:2107.07511, section 1): a predicted box enlarged by it contains the true box with probability COVERAGE, for images
drawn like those of the calibration split.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from localizer.boxes import Array

COVERAGE = 0.9
UNCONFIDENT = 0.1  # fraction of calibration images whose agreement is below `Calibration.agreement`
MIN_AGREEMENT = 0.01  # IoU; lower thresholds would call a model confident whose two boxes hardly overlap


@dataclass(frozen=True)
class Calibration:
    """Calibration fitted on `images` held-out images.

    margin: in multiples of the box's `mean_side`; None with fewer than 9 images, too few for COVERAGE.
    agreement: threshold of confidence, an IoU in [MIN_AGREEMENT, 1] between the boxes of an image and of its mirror
    image, which all but UNCONFIDENT of the images reach; None without images.
    """

    images: Annotated[int, Field(ge=0)]
    margin: Annotated[float | None, Field(ge=0, allow_inf_nan=False)]
    agreement: Annotated[float | None, Field(ge=0, le=1, allow_inf_nan=False)]


def calibrate(pred_px: Array, true_px: Array, agreement: Array) -> Calibration:
    """Fit the calibration.

    pred_px, true_px: boxes [N, 4] xyxy in pixels; agreement: IoU [N] of the boxes of image and mirror image.
    """
    count = len(pred_px)
    scores = np.sort(protrusion(pred_px, true_px) / mean_side(pred_px))
    rank = _rank(count)
    return Calibration(
        images=count,
        margin=float(scores[rank - 1]) if rank <= count else None,
        agreement=max(MIN_AGREEMENT, float(np.quantile(agreement, UNCONFIDENT, method="lower"))) if count else None,
    )


def protrusion(pred_px: Array, true_px: Array) -> Array:
    """Return the largest distance [N] in pixels by which true boxes exceed predicted ones; 0 if contained."""
    excess = np.concatenate([pred_px[:, :2] - true_px[:, :2], true_px[:, 2:] - pred_px[:, 2:]], axis=1)
    return np.asarray(excess.max(axis=1, initial=0))


def mean_side(pred_px: Array) -> Array:
    """Return the mean of width and height [N] of boxes [N, 4] in pixels, at least 1; errors scale with it."""
    return np.clip((pred_px[:, 2:] - pred_px[:, :2]).mean(axis=1), 1, None)


def margin_px(calibration: Calibration, pred_px: Array, *, width: Array, height: Array) -> Array:
    """Return the margin [N] in pixels; without a fitted one, the longer side of the image, which covers any box."""
    if calibration.margin is None:
        return np.maximum(width, height).astype(np.float64)
    return calibration.margin * mean_side(pred_px)


def coverage_range(
    calibration: Calibration, images: int, *, calibrated: int | None = None, level: float = 0.99
) -> tuple[float, float]:
    """Return the range of coverages on `images` new images that is consistent with a correct margin.

    level: probability of the range. calibrated: size of the calibration set, by default `calibration.images`. The
    number of covered images is beta-binomial (Angelopoulos and Bates 2021, section 3.2) if all scores differ. A margin
    of 0, where most predicted boxes are too large, may cover more, up to all. For clustered images pass numbers of
    clusters: the range is then that of identical images within a cluster, hence wider than necessary.
    """
    if calibration.margin is None:
        return 1.0, 1.0
    covered = _covered(calibration, images, calibrated)
    highest = covered.ppf((1 + level) / 2) if calibration.margin else images
    return float(covered.ppf((1 - level) / 2) / images), float(highest / images)


def pooled_coverage_range(
    parts: Sequence[tuple[Calibration, int, int | None]], *, level: float = 0.99
) -> tuple[float, float]:
    """Return `coverage_range` for the images of several models together.

    parts: of each model its calibration, `images` and `calibrated`. The number of covered images is the sum of
    independent beta-binomials, though the models of folds share some calibration images.
    """
    from scipy.signal import convolve

    if len(parts) == 1:
        calibration, images, calibrated = parts[0]
        return coverage_range(calibration, images, calibrated=calibrated, level=level)
    chances, total = np.ones(1), sum(images for _, images, _ in parts)
    for calibration, images, calibrated in parts:
        counts = np.arange(images + 1)
        is_any = calibration.margin is None  # a margin that covers any box
        own = (counts == images).astype(float) if is_any else _covered(calibration, images, calibrated).pmf(counts)
        chances = convolve(chances, own)
    low, high = np.searchsorted(np.cumsum(chances), [(1 - level) / 2, (1 + level) / 2])
    if any(calibration.margin == 0 for calibration, _, _ in parts):
        high = total
    return min(float(low / total), 1.0), min(float(high / total), 1.0)


def _covered(calibration: Calibration, images: int, calibrated: int | None) -> Any:
    """Return the distribution of the number of covered images."""
    from scipy.stats import betabinom

    fitted_on = calibration.images if calibrated is None else max(1, min(calibrated, calibration.images))
    rank = min(_rank(fitted_on), fitted_on)
    return betabinom(images, rank, fitted_on + 1 - rank)


def _rank(count: int) -> int:
    """Return the 1-based rank of the score that is the margin; above `count` if there are too few images."""
    return math.ceil((count + 1) * COVERAGE)
