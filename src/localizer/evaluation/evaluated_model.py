"""A model's predictions on its test split, image by image, next to those of baselines that need no model."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from localizer.boxes import Array, to_fractions, to_pixels
from localizer.calibration import Calibration, margin_px, protrusion
from localizer.evaluation.metrics import centre_box, constant_iou, mean_box, per_image
from localizer.tables import EDGES, PREDICTED_EDGES, read_table, true_boxes

IMAGE_COLUMNS = ["image", "label", "width", "height", *EDGES]  # of the split, kept in `EvaluatedModel.images`
BASELINES = {"mean_box": mean_box, "centre_box": centre_box}
DIGEST_LENGTH = 16  # of an image's SHA-256: enough to tell files apart
TEXTS = ("image", "label", "covered", "confident", "digest")  # columns of predictions.csv that aren't numbers
TOLERANCE_PX = 1e-7  # for a margin that equals the protrusion


@dataclass(frozen=True)
class EvaluatedModel:
    """A model's predictions on its test split.

    images: see `EvaluationResult`. baselines: the IoU [N] of each of BASELINES, made from this model's training boxes.
    calibration_clusters: number of clusters in its calibration split, if some have several images.
    """

    images: pd.DataFrame
    baselines: Mapping[str, Array]
    calibration: Calibration
    calibration_clusters: int | None = None

    @property
    def spread(self) -> float:
        """Return `relative_spread`."""
        return relative_spread(_fractions(self.images, PREDICTED_EDGES), true_boxes(self.images))


def baseline_ious(train: Array, true: Array) -> dict[str, Array]:
    """Return the IoU [N] of each of BASELINES, from training boxes [M, 4], with true boxes [N, 4].

    They are rounded like the model's IoU, so that the constant box itself gains exactly 0.
    """
    return {name: constant_iou(box(train), true).round(6) for name, box in BASELINES.items()}


def predictions(images: pd.DataFrame, pred: Array, agreement: Array, calibration: Calibration) -> pd.DataFrame:
    """Return one row per image (see `EvaluationResult`); boxes and margins in pixels, rounded to the hundredth."""
    size = {"width": images["width"].to_numpy(), "height": images["height"].to_numpy()}
    pred_px, true_px = to_pixels(pred, **size), images[EDGES].to_numpy(dtype=np.float64)
    margin = margin_px(calibration, pred_px, **size)
    confident = None if calibration.agreement is None else agreement >= calibration.agreement
    edges = dict(zip(PREDICTED_EDGES, pred_px.round(2).T, strict=True))
    columns: dict[str, Any] = {
        "margin_px": margin.round(2),
        "covered": protrusion(pred_px, true_px) <= margin + TOLERANCE_PX,
        "agreement": agreement.round(6),
        "confident": confident,
        "cluster": pd.factorize(images["cluster"])[0],
        "digest": images["sha256"].str[:DIGEST_LENGTH].array,
    }
    table = images[IMAGE_COLUMNS].reset_index(drop=True).assign(**edges)
    return table.join(per_image(pred_px, true_px).round(6)).assign(**columns)


def read_predictions(path: Path) -> pd.DataFrame:
    """Return the `images` that were written to predictions.csv; ValueError as `read_table`."""
    table = read_table(path)
    numbers = {str(name): pd.to_numeric(table[name]) for name in table if name not in TEXTS}
    # Without a calibration split, `confident` is empty.
    truth = {name: table[name].map({"True": True, "False": False, "": None}) for name in ("covered", "confident")}
    return table.assign(**numbers, **truth)


def relative_spread(pred: Array, true: Array) -> float:
    """Return the spread of predicted boxes [N, 4] as a share of the true boxes'; 1 if the true boxes are all equal."""
    true_spread = float(true.std(axis=0).mean().round(9))
    return float(pred.std(axis=0).mean()) / true_spread if true_spread else 1.0


def _fractions(images: pd.DataFrame, edges: list[str]) -> Array:
    return to_fractions(images[edges].to_numpy(), images["width"].to_numpy(), images["height"].to_numpy())
