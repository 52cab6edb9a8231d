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
from localizer.evaluation.inputs import SplitTable
from localizer.evaluation.intervals import LEVEL
from localizer.evaluation.metrics import METRICS, constant_iou, curve, mean_box
from localizer.evaluation.report_parts import (
    NO_LABEL,
    environment,
    finding_counts,
    gallery_figures,
    iou_by_confidence,
    is_collapsed,
    label_error_figures,
    metric_rows,
    object_name,
)
from localizer.evaluation.slices import MIN_IMAGES
from localizer.model.saving import ModelCard
from localizer.tables import true_boxes

MAX_PLOTTED_SLICES = 40  # the largest; the table has all
BASELINES = {name: METRICS[f"{name}_iou"].name.removeprefix("Mean IoU of the ") for name in ("mean_box", "centre_box")}


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
    show_images = context.show_images
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
            metric_rows=metric_rows(result.metrics),
            iou_by_confidence=iou_by_confidence(result.images),
            collapsed=is_collapsed(result.images),
            plots=svgs,
            gallery=gallery_figures(result, context.paths) if show_images else {},
            label_errors=label_error_figures(context.label_errors, show_images=show_images),
            findings=finding_counts(context.findings),
            constants={"level": LEVEL, "few": MIN_IMAGES, "coverage": COVERAGE, "max_slices": MAX_PLOTTED_SLICES},
        )
    )


def draw_plots(result: EvaluationResult, context: ReportContext) -> dict[str, str]:
    """Return the page's plots by name, as SVG: curve, histogram, loss, val_iou and slices."""
    history, constant, best = context.history, BASELINES["mean_box"], context.card.best_epoch
    constant_curve = curve(context.mean_box_iou, result.images["cluster"].to_numpy())
    series = {name: (history["epoch"].tolist(), history[name].tolist()) for name in ("loss", "val_iou")}
    largest = result.slices.nlargest(MAX_PLOTTED_SLICES, "images").sort_index().replace({"slice": {"": NO_LABEL}})
    return {
        "curve": plots.curve_plot({"this model": result.curve, constant: constant_curve}),
        "histogram": plots.histogram({"this model": result.images["iou"].to_numpy(), constant: context.mean_box_iou}),
        "loss": plots.lines({"loss": series["loss"]}, x="epoch", y="training loss", mark=best),
        "val_iou": plots.lines({"IoU": series["val_iou"]}, x="epoch", y="mean IoU on validation", mark=best),
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
        f"baselines: mean box {metrics['mean_box_iou'].value:.3f}, centred box {metrics['centre_box_iou'].value:.3f}; "
        f"gain over the mean box {gain.value:+.3f} [{gain.low:+.3f} to {gain.high:+.3f}]",
        f"a margin of {result.images['margin_px'].mean():.1f} px on average covers {metrics['coverage'].value:.0%} of "
        f"the ground truth (nominal: {COVERAGE:.0%})",
        *(f"evaluate: WARNING: {warning}" for warning in result.warnings),
    ]
    return "\n".join(lines)
