"""The judgement of a model on the test side: measures with intervals, beside what needs no model."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from localizer.boxes import Array, to_pixels
from localizer.calibration import COVERAGE, Calibration, coverage_range, margin_px, protrusion
from localizer.evaluation.inputs import Split
from localizer.evaluation.intervals import LEVEL, Estimate, mean, share
from localizer.evaluation.label_errors import suspects
from localizer.evaluation.metrics import centre_box, constant_iou, curve, mean_box, per_image, summary
from localizer.evaluation.slices import FEW, kinds, slices
from localizer.model.saving import ModelCard
from localizer.predictor import FlipPrediction
from localizer.tables import EDGES, true_boxes

PREDICTED_EDGES = [f"pred_{edge}" for edge in EDGES]
COLLAPSED = 0.1  # of the true boxes' spread: below it the model gives all images about the same box
GIVEN = ["image", "label", "width", "height", *EDGES]  # columns of the test side that `EvaluationResult.images` keeps
DIGITS = 16  # of an image's SHA-256: enough to tell its pixels from others'
ROUNDING_PX = 1e-7  # of a margin that equals how far a box sticks out


Claim = Literal["better", "worse", "not shown to be better", "too few images"]


@dataclass(frozen=True)
class EvaluationResult:
    """What is known of a model after its test.

    images: a row each: GIVEN, cluster (a number, the same for images that belong together), digest (of the file),
    PREDICTED_EDGES, the columns of `per_image`, margin_px, covered, agreement, confident.
    measures, baselines: by name; `coverage` and `confident` are shares, `gain_over_…` differences of mean IoU.
    slices, curve: as their functions say. expected: between which coverages chance lets a right margin come out.
    """

    images: pd.DataFrame
    measures: dict[str, Estimate]
    baselines: dict[str, Estimate]
    slices: pd.DataFrame
    curve: pd.DataFrame
    expected: tuple[float, float]
    warnings: tuple[str, ...] = ()

    def metrics(self) -> dict[str, float]:
        """Return the metrics that runs are compared by, to six digits; `_low` and `_high` are the 90% interval's."""
        found: dict[str, float] = {}
        for name in ("mean_iou", "gain_over_mean_box"):
            one = self.measures[name]
            found |= {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high}
        found |= {name: one.value for name, one in self.measures.items()}
        found |= {f"{name}_iou": one.value for name, one in self.baselines.items()}
        found["margin_px"] = self.images["margin_px"].mean()
        counts = {"images": len(self.images), "clusters": self.clusters, "warnings": len(self.warnings)}
        return {name: round(float(value), 6) for name, value in found.items()} | counts

    @property
    def clusters(self) -> int:
        """Return how many groups of images that belong together there are: as many as images where none do."""
        return int(self.images["cluster"].nunique())

    @property
    def claim(self) -> Claim:
        """Return what the gain over the mean box tells."""
        gain = self.measures["gain_over_mean_box"]
        if self.clusters < FEW:
            return "too few images"
        return "better" if gain.low > 0 else "worse" if gain.high < 0 else "not shown to be better"

    def table(self) -> pd.DataFrame:
        """Return the measures and baselines as rows: measure, value, low, high."""
        named = self.measures | {f"{name}_iou": one for name, one in self.baselines.items()}
        rows = [(name, one.value, one.low, one.high) for name, one in named.items()]
        return pd.DataFrame(rows, columns=["measure", "value", "low", "high"]).round(6)


def evaluate(
    test: pd.DataFrame,
    pred: Array,
    agreement: Array,
    *,
    train: Array,
    calibration: Calibration,
    calibrated: int | None = None,
) -> EvaluationResult:
    """Return the judgement of boxes and agreements [N, 4], [N] on the test side, N >= 2; train: its boxes [M, 4].

    Boxes are xyxy in [0, 1]; calibrated: how many clusters the calibration side has, where its images come in some.
    Raises ValueError where there are fewer images than an interval can be of, or where a box or an agreement is no
    number: it would else pass for a box without overlap.
    """
    _check(test, pred, agreement, train)
    images = predictions(test, pred, agreement, calibration)
    true, iou, clusters = true_boxes(test), images["iou"].to_numpy(), images["cluster"].to_numpy()
    # Rounded as the model's are, so that the constant box itself gains nothing.
    constants = {name: constant_iou(box(train), true).round(6) for name, box in BASELINES.items()}
    found = EvaluationResult(
        images,
        measures=summary(images, clusters) | _beyond_iou(images, constants),
        baselines={name: mean(constant, clusters=clusters) for name, constant in constants.items()},
        slices=slices(kinds(test, true), iou, clusters),
        curve=curve(iou, clusters),
        expected=coverage_range(calibration, len(np.unique(clusters)), calibrated=calibrated),
    )
    return replace(found, warnings=tuple(warnings(found, spread=spread(pred, true))))


def evaluate_held_out(split: Split, seen: FlipPrediction, card: ModelCard) -> tuple[EvaluationResult, pd.DataFrame]:
    """Return the judgement of what was seen of the test side, and the suspects of all sides that are held out."""
    held_out = split.held_out
    test = (held_out["split"] == "test").to_numpy()
    found = evaluate(
        held_out[test],
        seen.boxes[test],
        seen.agreement[test],
        train=split.train,
        calibration=card.calibration,
        calibrated=split.calibrated,
    )
    of_model = predictions(held_out, seen.boxes, seen.agreement, card.calibration).drop(columns=[*GIVEN, "cluster"])
    doubted = suspects(held_out.join(of_model))
    # A model that always answers the same is as sure of it as can be, and doubts all labels that lie elsewhere.
    return found, doubted if spread(seen.boxes, true_boxes(held_out)) >= COLLAPSED else doubted[:0]


def _beyond_iou(images: pd.DataFrame, constants: dict[str, Array]) -> dict[str, Estimate]:
    """Return the gains over the IoU [N] of constant boxes, and the shares of images that are covered and confident."""
    iou, clusters = images["iou"].to_numpy(), images["cluster"].to_numpy()
    gains = {f"gain_over_{name}": mean(iou - constant, clusters=clusters) for name, constant in constants.items()}
    known = ["covered", "confident"] if images["confident"].notna().all() else ["covered"]
    return gains | {SHARES[name]: share(images[name].to_numpy(dtype=bool), clusters=clusters) for name in known}


def _check(test: pd.DataFrame, pred: Array, agreement: Array, train: Array) -> None:
    if len(test) < 2:
        raise ValueError(
            f"the test side has {len(test)} of the 2 images or more that a judgement wants; raise split.test in "
            "params.yaml, or add images"
        )
    for side, boxes in (("train", train), ("test", true_boxes(test))):
        lacking = ~np.isfinite(boxes).all(axis=1)
        if lacking.any() or not len(boxes):
            raise ValueError(
                f"{side} split: {lacking.sum()} of {len(boxes)} images have no box in numbers; expected one image or "
                "more, each with its box and size; `dvc repro` makes the tables again"
            )
    lacking = ~(np.isfinite(pred).all(axis=1) & np.isfinite(agreement))
    if lacking.any():
        raise ValueError(
            f"the test side: {lacking.sum()} of {len(test)} predicted boxes or agreements are no numbers, the first "
            f"that of {test['image'].iloc[lacking.argmax()]}; train again, with a lower train.lr"
        )


BASELINES = {"mean_box": mean_box, "centre_box": centre_box}
SHARES = {"covered": "coverage", "confident": "confident"}  # columns of `EvaluationResult.images`, and their measures


def predictions(images: pd.DataFrame, pred: Array, agreement: Array, calibration: Calibration) -> pd.DataFrame:
    """Return a row per image (see `EvaluationResult`); boxes and margins in pixels, rounded to the hundredth."""
    size = {"width": images["width"].to_numpy(), "height": images["height"].to_numpy()}
    exact_px, true_px = to_pixels(pred, **size), images[EDGES].to_numpy(dtype=np.float64)
    margin = margin_px(calibration, exact_px, **size)
    sure = None if calibration.agreement is None else agreement >= calibration.agreement
    edges = dict(zip(PREDICTED_EDGES, exact_px.round(2).T, strict=True))
    held = protrusion(exact_px, true_px) <= margin + ROUNDING_PX
    table = images[GIVEN].reset_index(drop=True).assign(**edges)
    errors = per_image(exact_px, true_px).round(6)
    told: dict[str, Any] = {"margin_px": margin.round(2), "covered": held}
    told |= {"agreement": agreement.round(6), "confident": sure}
    told |= {"cluster": pd.factorize(images["cluster"])[0], "digest": images["sha256"].str[:DIGITS].array}
    return table.join(errors).assign(**told)


def spread(pred: Array, true: Array) -> float:
    """Return the spread of predicted boxes [N, 4] as a share of that of the true ones; 1 where these are all alike."""
    wide = float(true.std(axis=0).mean().round(9))
    return float(pred.std(axis=0).mean()) / wide if wide else 1.0


def warnings(found: EvaluationResult, *, spread: float) -> Iterator[str]:
    """Yield what a reader must know before trusting the measures; spread: see there."""
    gain, held = found.measures["gain_over_mean_box"], found.measures["coverage"].value
    images, clusters, (low, high) = len(found.images), found.clusters, found.expected
    if spread < COLLAPSED:
        yield f"about the same box on every image: their spread is {spread:.0%} of the true boxes'"
    if gain.low <= 0:
        yield (
            f"no evidence of more than a constant box: the gain over the mean box is {gain.value:+z.3f}, and its "
            f"{LEVEL:.0%} interval, {gain.low:+z.3f} to {gain.high:+z.3f}, is not above 0"
        )
    if images < FEW:
        yield f"{images} test images: so few that another draw of them could tell another story"
    elif clusters == 1:
        yield f"all {images} test images belong together, as those of one video do: nothing here tells of others"
    elif clusters < FEW:
        yield f"{images} test images, but of {clusters} groups that belong together: few to tell of others by"
    if not low <= held <= high:
        yield (
            f"the margin holds {held:.1%} of the true boxes, and chance allows {low:.1%} to {high:.1%} "
            f"in 99 of 100 cases where {COVERAGE:.0%} are promised: the test side is unlike the calibration side"
        )
