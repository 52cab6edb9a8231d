"""Evaluation of a model on the test split: metrics with intervals, against baselines that need no model.

The models of several folds are evaluated together: each image is in the test split of one of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import pandas as pd

from localizer.boxes import Array
from localizer.calibration import COVERAGE, Calibration, pooled_coverage_range
from localizer.evaluation.evaluated_model import (
    BASELINES,
    IMAGE_COLUMNS,
    EvaluatedModel,
    baseline_ious,
    predictions,
    relative_spread,
)
from localizer.evaluation.inputs import SplitTable
from localizer.evaluation.intervals import LEVEL, Clusters, Estimate, mean, share
from localizer.evaluation.label_errors import label_errors
from localizer.evaluation.metrics import curve, summarize
from localizer.evaluation.slices import MIN_IMAGES, slice_labels, slices
from localizer.model.saving import ModelCard
from localizer.predictor import FlipPrediction
from localizer.tables import true_boxes

SHARES = {"covered": "coverage", "confident": "confident"}  # columns of `EvaluationResult.images`, and their metrics
MIN_SPREAD = 0.1  # of predicted boxes relative to the true ones: below it, all images get about the same box

Claim = Literal["better", "worse", "not shown to be better", "too few images"]


@dataclass(frozen=True)
class EvaluationResult:
    """The evaluation of a model on the test split, or of the models of several folds on all images.

    images: one row per image: IMAGE_COLUMNS, PREDICTED_EDGES, the columns of `per_image`, margin_px, covered,
    agreement, confident, cluster (a number, equal for images that belong together), digest (of the file), and, of
    several folds, fold (its number). baselines: IoU [N] of each of BASELINES.
    metrics: by name; `coverage` and `confident` are shares, `gain_over_…` differences of mean IoU, `…_box_iou` the
    baselines' mean IoU. slices, curve: see their functions. coverage_range: coverages consistent with a correct margin.
    spread: see `relative_spread`.
    """

    images: pd.DataFrame
    metrics: dict[str, Estimate]
    slices: pd.DataFrame
    curve: pd.DataFrame
    coverage_range: tuple[float, float]
    baselines: Mapping[str, Array] = field(default_factory=dict)
    spread: float = 1.0
    warnings: tuple[str, ...] = ()

    def metric_values(self) -> dict[str, float]:
        """Return the content of metrics.json, to six digits; `_low` and `_high` are the ends of 90% intervals."""
        ends = {"": "value", "_low": "low", "_high": "high"}
        compared = ("mean_iou", "gain_over_mean_box")
        values = {f"{name}{end}": getattr(self.metrics[name], ends[end]) for name in compared for end in ends}
        values |= {name: metric.value for name, metric in self.metrics.items()}
        values["margin_px"] = self.images["margin_px"].mean()
        counts = {"images": len(self.images), "clusters": self.clusters, "warnings": len(self.warnings)}
        return {name: round(float(value), 6) for name, value in values.items()} | counts

    def metrics_table(self) -> pd.DataFrame:
        """Return the content of measures.csv: the metrics with their intervals."""
        rows = [(name, metric.value, metric.low, metric.high) for name, metric in self.metrics.items()]
        return pd.DataFrame(rows, columns=["measure", "value", "low", "high"]).round(6)

    @property
    def clusters(self) -> int:
        """Return the number of clusters of images that belong together: that of the images if none do."""
        return int(self.images["cluster"].nunique())

    @property
    def folds(self) -> int:
        """Return the number of folds; 0 for a single model."""
        return int(self.images["fold"].nunique()) if "fold" in self.images else 0

    @property
    def is_collapsed(self) -> bool:
        """Return whether all images get about the same box, where a model is always confident."""
        return self.spread < MIN_SPREAD

    @property
    def claim(self) -> Claim:
        """Return the conclusion from the gain over the mean box."""
        gain = self.metrics["gain_over_mean_box"]
        if self.clusters < MIN_IMAGES:
            return "too few images"
        return "better" if gain.low > 0 else "worse" if gain.high < 0 else "not shown to be better"


def evaluate(
    test: pd.DataFrame,
    pred: Array,
    agreement: Array,
    *,
    train: Array,
    calibration: Calibration,
    calibration_clusters: int | None = None,
) -> EvaluationResult:
    """Return the evaluation of predicted boxes [N, 4] and agreements [N] on the test split, N >= 2.

    Boxes are xyxy in [0, 1]; train: the training boxes [M, 4]; calibration_clusters: number of clusters in the
    calibration split, if some have several images. Raises ValueError for fewer than 2 images, which have no interval,
    and for NaN or infinity in boxes or agreements, which would pass for an IoU of 0.
    """
    _check(test, pred, agreement, train)
    images = predictions(test, pred, agreement, calibration)
    baselines = baseline_ious(train, true_boxes(test))
    return pool([EvaluatedModel(images, baselines, calibration, calibration_clusters)])


def pool(models: Sequence[EvaluatedModel]) -> EvaluationResult:
    """Return the evaluation of one model, or of several, each on images of its own and no two with one cluster."""
    images = _concatenate([model.images for model in models])
    baselines = {name: np.concatenate([model.baselines[name] for model in models]) for name in BASELINES}
    iou, clusters = images["iou"].to_numpy(), images["cluster"].to_numpy()
    parts = [(model.calibration, model.images["cluster"].nunique(), model.calibration_clusters) for model in models]
    result = EvaluationResult(
        images,
        metrics=summarize(images, clusters) | _baseline_metrics(baselines, images, clusters),
        slices=slices(slice_labels(images, true_boxes(images)), iou, clusters),
        curve=curve(iou, clusters),
        coverage_range=pooled_coverage_range(parts),
        baselines=baselines,
        spread=min(model.spread for model in models),
    )
    return replace(result, warnings=tuple(_warnings(result)))


def evaluate_held_out(
    split: SplitTable, predicted: FlipPrediction, card: ModelCard
) -> tuple[EvaluationResult, pd.DataFrame]:
    """Return the evaluation on the test split, and the likely label errors of all held-out splits."""
    held_out = split.held_out
    test = (held_out["split"] == "test").to_numpy()
    result = evaluate(
        held_out[test],
        predicted.boxes[test],
        predicted.agreement[test],
        train=split.train,
        calibration=card.calibration,
        calibration_clusters=split.calibration_clusters,
    )
    table = predictions(held_out, predicted.boxes, predicted.agreement, card.calibration)
    errors = label_errors(held_out.join(table.drop(columns=[*IMAGE_COLUMNS, "cluster"])))
    # A model that predicts the same box everywhere always agrees with itself, and would rank any label elsewhere.
    return result, errors if relative_spread(predicted.boxes, true_boxes(held_out)) >= MIN_SPREAD else errors[:0]


def _concatenate(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of all tables; those of several have the number of their table as `fold`, and new clusters."""
    if len(tables) == 1:
        return tables[0]
    numbered = [table.assign(fold=number) for number, table in enumerate(tables)]
    images = pd.concat(numbered, ignore_index=True)
    return images.assign(cluster=images.groupby(["fold", "cluster"], sort=False).ngroup())


def _warnings(result: EvaluationResult) -> Iterator[str]:
    """Yield what limits the trust in the metrics."""
    gain, coverage = result.metrics["gain_over_mean_box"], result.metrics["coverage"].value
    images, clusters, (low, high) = len(result.images), result.clusters, result.coverage_range
    if result.is_collapsed:
        which = " of a fold" if result.folds else ""
        yield f"about the same box on every image{which}: their spread is {result.spread:.0%} of the ground truth's"
    if gain.low <= 0:
        yield (
            f"no evidence of more than a constant box: the gain over the mean box is {gain.value:+z.3f}, and its "
            f"{LEVEL:.0%} interval, {gain.low:+z.3f} to {gain.high:+z.3f}, is not above 0"
        )
    if images < MIN_IMAGES:
        yield f"{images} test images: too few for a reliable result, another sample could give a different one"
    elif clusters == 1:
        yield f"all {images} test images belong together, e.g. to one video: the result doesn't generalize to others"
    elif clusters < MIN_IMAGES:
        yield f"{images} test images, but of only {clusters} clusters that belong together: too few to generalize from"
    if not low <= coverage <= high:
        yield (
            f"the margin covers {coverage:.1%} of the ground truth, outside the 99% range of {low:.1%} to {high:.1%} "
            f"for a nominal {COVERAGE:.0%}: test and calibration split differ in distribution"
        )


def _baseline_metrics(baselines: dict[str, Array], images: pd.DataFrame, clusters: Clusters) -> dict[str, Estimate]:
    """Return the gains over the baselines' IoU [N], the shares of SHARES, and the baselines' mean IoU."""
    iou = images["iou"].to_numpy()
    gains = {f"gain_over_{name}": mean(iou - other, clusters=clusters) for name, other in baselines.items()}
    known = ["covered", "confident"] if images["confident"].notna().all() else ["covered"]
    shares = {SHARES[name]: share(images[name].to_numpy(dtype=bool), clusters=clusters) for name in known}
    return gains | shares | {f"{name}_iou": mean(other, clusters=clusters) for name, other in baselines.items()}


def _check(test: pd.DataFrame, pred: Array, agreement: Array, train: Array) -> None:
    if len(test) < 2:
        raise ValueError(
            f"test split: expected 2 or more images, got {len(test)}; raise split.test in params.yaml, or add images"
        )
    for split, boxes in (("train", train), ("test", true_boxes(test))):
        invalid = ~np.isfinite(boxes).all(axis=1)
        if invalid.any() or not len(boxes):
            raise ValueError(
                f"{split} split: expected one image or more, each with a finite box and size, got {invalid.sum()} "
                f"without in {len(boxes)} images; `dvc repro` rebuilds the tables"
            )
    invalid = ~(np.isfinite(pred).all(axis=1) & np.isfinite(agreement))
    if invalid.any():
        raise ValueError(
            f"test split: expected finite predicted boxes and agreements, got {invalid.sum()} of {len(test)} that "
            f"aren't, the first for {test['image'].iloc[invalid.argmax()]}; train again with a lower train.lr"
        )
