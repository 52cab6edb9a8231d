"""What errors on images that training never saw promise of new ones: a margin around a box, and when to trust it.

The margin is split-conformal (Vovk et al. 2005; Angelopoulos and Bates 2021, arXiv:2107.07511, section 1): it holds
the true box with a probability of COVERAGE, over images that are drawn as the calibration side was.
"""

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from localizer.boxes import Array

COVERAGE = 0.9
DOUBTED = 0.1  # share of the calibration side that a model is less sure of than `Calibration.agreement`
TOUCHING = 0.01  # IoU: boxes that agree no better are those of a model that is sure of nothing


@dataclass(frozen=True)
class Calibration:
    """What a calibration side of so many images taught.

    margin: as a share of `scale`; None where fewer than 9 images can't promise COVERAGE.
    agreement: the IoU in [TOUCHING, 1] of the boxes of an image and its mirror image that all but DOUBTED of the
    images reach; None without images.
    """

    images: Annotated[int, Field(ge=0)]
    margin: Annotated[float | None, Field(ge=0, allow_inf_nan=False)]
    agreement: Annotated[float | None, Field(ge=0, le=1, allow_inf_nan=False)]


def calibrate(pred_px: Array, true_px: Array, agreement: Array) -> Calibration:
    """Return what predicted and true boxes [N, 4] xyxy in pixels, and the agreement [N] with mirror images, teach."""
    count = len(pred_px)
    scores = np.sort(protrusion(pred_px, true_px) / mean_side(pred_px))
    rank = _rank(count)
    return Calibration(
        images=count,
        margin=float(scores[rank - 1]) if rank <= count else None,
        agreement=max(TOUCHING, float(np.quantile(agreement, DOUBTED, method="lower"))) if count else None,
    )


def protrusion(pred_px: Array, true_px: Array) -> Array:
    """Return how far [N], in pixels, the true boxes stick out of the predicted ones at most; 0 where they don't."""
    out = np.concatenate([pred_px[:, :2] - true_px[:, :2], true_px[:, 2:] - pred_px[:, 2:]], axis=1)
    return np.asarray(out.max(axis=1, initial=0))


def mean_side(pred_px: Array) -> Array:
    """Return the mean side [N] of boxes [N, 4] in pixels, at least 1: errors grow with the box."""
    return np.clip((pred_px[:, 2:] - pred_px[:, :2]).mean(axis=1), 1, None)


def margin_px(calibration: Calibration, pred_px: Array, *, width: Array, height: Array) -> Array:
    """Return the margin [N] in pixels; without one in the calibration the image's longer side, which holds any box."""
    if calibration.margin is None:
        return np.maximum(width, height).astype(np.float64)
    return calibration.margin * mean_side(pred_px)


def coverage_range(
    calibration: Calibration, images: int, *, calibrated: int | None = None, level: float = 0.99
) -> tuple[float, float]:
    """Return between which coverages on so many new images chance lets a right margin come out, at a level.

    The number that the margin holds is beta-binomial (Angelopoulos and Bates 2021, section 3.2) where no two scores are
    equal. Where a model's boxes are too large many are 0, and a margin of 0 then holds more, up to all. Where images
    come in clusters `images` and `calibrated` are how many clusters test and calibration have: then the range is that
    of images that are all alike in a cluster, and wider than need be.
    """
    from scipy.stats import betabinom

    if calibration.margin is None:
        return 1.0, 1.0
    known = calibration.images if calibrated is None else max(1, min(calibrated, calibration.images))
    rank = min(_rank(known), known)
    held = betabinom(images, rank, known + 1 - rank)
    most = held.ppf((1 + level) / 2) if calibration.margin else images
    return float(held.ppf((1 - level) / 2) / images), float(most / images)


def _rank(count: int) -> int:
    """Return which of the sorted scores of so many images is the margin; more than there are if they are too few."""
    return math.ceil((count + 1) * COVERAGE)
