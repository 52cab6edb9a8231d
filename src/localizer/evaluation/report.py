"""The evaluation report: one self-contained HTML page for readers who don't know the project; and a text summary."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from localizer.boxes import Array
from localizer.calibration import COVERAGE
from localizer.evaluation import plots
from localizer.evaluation.evaluate import EvaluationResult
from localizer.evaluation.gallery import ranked_rows
from localizer.evaluation.inputs import SplitTable
from localizer.evaluation.intervals import LEVEL
from localizer.evaluation.label_errors import SHOWN
from localizer.evaluation.metrics import constant_iou, curve, mean_box
from localizer.evaluation.report_parts import NO_LABEL, ImageFigure, environment, image_figure
from localizer.evaluation.slices import MIN_IMAGES
from localizer.model.saving import ModelCard
from localizer.tables import true_boxes

MAX_LABELS = 3  # listed in a heading
MAX_PLOTTED_SLICES = 40  # the largest; the table has all
BASELINES = {"mean_box": "constant box", "centre_box": "centered box"}


@dataclass(frozen=True)
class ReportContext:
    """What the report shows besides the EvaluationResult.

    dataset: NAME of data/NAME. show_images: of its dataset.yaml. params: of the stage evaluate. history: epoch, loss,
    val_iou. findings: validate's counts. label_errors: rows of `label_errors`. digests: of the inputs, by file.
    """

    dataset: str
    show_images: bool
    split: SplitTable
    card: ModelCard
    params: Mapping[str, Any]
    history: pd.DataFrame
    findings: Mapping[str, int]
    label_errors: pd.DataFrame
    digests: Mapping[str, str]

    @property
    def paths(self) -> list[Path]:
        """Return the test images, in the order of `EvaluationResult.images`."""
        return [Path(path) for path in self.split.test["path"]]

    @property
    def mean_box_iou(self) -> Array:
        """Return the IoU [N] of the mean training box with each test image's box."""
        return constant_iou(mean_box(self.split.train), true_boxes(self.split.test))


def report(result: EvaluationResult, context: ReportContext, *, svgs: Mapping[str, str]) -> str:
    """Return the page: the same bytes for the same arguments and image files; svgs: of `draw_plots`."""
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            context=context,
            card=context.card,
            result=result,
            metrics=result.metrics,
            object=object_name(context.card.label),
            baselines={text: result.metrics[f"{name}_iou"] for name, text in BASELINES.items()},
            iou_by_confidence=iou_by_confidence(result.images),
            plots=svgs,
            gallery=_gallery(result, context) if context.show_images else {},
            label_errors=_label_errors(context),
            constants={"level": LEVEL, "few": MIN_IMAGES, "coverage": COVERAGE, "max_slices": MAX_PLOTTED_SLICES},
        )
    )


def object_name(labels: str) -> str:
    """Return what the model localizes: the model card's labels, or their number above MAX_LABELS.

    The card joins them by ", ", so a label that contains it counts as two.
    """
    names = [name or NO_LABEL for name in labels.split(", ")]
    return ", ".join(names) if len(names) <= MAX_LABELS else f"{len(names)} kinds of object"


def iou_by_confidence(images: pd.DataFrame) -> tuple[float, float] | None:
    """Return the mean IoU of confident predictions and of the others; None if there are none of either."""
    means = images.groupby("confident")["iou"].mean()
    return (float(means[True]), float(means[False])) if {True, False} <= {*means.index} else None


def _gallery(result: EvaluationResult, context: ReportContext) -> dict[str, list[ImageFigure]]:
    rows = _records(result.images.assign(path=context.split.test["path"].array))
    ranked = ranked_rows(result.images["iou"].to_numpy())
    return {name: [image_figure(rows[index]) for index in ranked[name]] for name in ("worst", "median", "best")}


def _label_errors(context: ReportContext) -> list[ImageFigure]:
    rows = _records(context.label_errors[:SHOWN])
    return [image_figure(row) if context.show_images else ImageFigure("", row) for row in rows]


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows with Python's own values: Jinja's `is false` is never true of numpy's."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def draw_plots(result: EvaluationResult, context: ReportContext) -> dict[str, str]:
    """Return the page's plots by name, as SVG: curve, histogram, loss, val_iou and slices."""
    history, constant, best = context.history, BASELINES["mean_box"], context.card.best_epoch
    epochs = history["epoch"].tolist()
    constant_curve = curve(context.mean_box_iou, result.images["cluster"].to_numpy())
    largest = result.slices.nlargest(MAX_PLOTTED_SLICES, "images").sort_index().replace({"slice": {"": NO_LABEL}})
    return {
        "curve": plots.curve_plot({"this model": result.curve, constant: constant_curve}),
        "histogram": plots.histogram({"this model": result.images["iou"].to_numpy(), constant: context.mean_box_iou}),
        "loss": plots.line(epochs, history["loss"].tolist(), x="epoch", y="training loss", mark=best),
        "val_iou": plots.line(epochs, history["val_iou"].tolist(), x="epoch", y="mean IoU on validation", mark=best),
        "slices": plots.slices_plot(largest, result.metrics["mean_iou"]),
    }


def summary(result: EvaluationResult) -> str:
    """Return the result in a few lines, for the terminal and MLflow."""
    metrics, iou = result.metrics, result.metrics["mean_iou"]
    gain = metrics["gain_over_mean_box"]
    lines = [
        f"test split, {len(result.images)} images: mean IoU {iou.value:.3f} [{iou.low:.3f} to {iou.high:.3f}], median "
        f"{metrics['median_iou'].value:.3f}, IoU >= 0.5 on {metrics['iou_50'].value:.0%}, >= 0.75 on "
        f"{metrics['iou_75'].value:.0%}",
        f"baselines: mean box {metrics['mean_box_iou'].value:.3f}, centered box {metrics['centre_box_iou'].value:.3f}; "
        f"gain over the mean box {gain.value:+.3f} [{gain.low:+.3f} to {gain.high:+.3f}]",
        f"a margin of {result.images['margin_px'].mean():.1f} px on average covers {metrics['coverage'].value:.0%} of "
        f"the ground truth (nominal: {COVERAGE:.0%})",
        *(f"evaluate: WARNING: {warning}" for warning in result.warnings),
    ]
    return "\n".join(lines)
