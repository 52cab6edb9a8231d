"""The evaluation report: one self-contained HTML page for readers who don't know the project; and a text summary."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from localizer.calibration import COVERAGE
from localizer.evaluation import plots
from localizer.evaluation.evaluate import EvaluationResult
from localizer.evaluation.gallery import ranked_rows
from localizer.evaluation.intervals import LEVEL
from localizer.evaluation.label_errors import SHOWN
from localizer.evaluation.metrics import curve
from localizer.evaluation.report_parts import NO_LABEL, ImageFigure, environment, image_figure
from localizer.evaluation.slices import MIN_IMAGES
from localizer.model.saving import ModelCard

MAX_LABELS = 3  # listed in a heading
MAX_PLOTTED_SLICES = 40  # the largest; the table has all
BASELINES = {"mean_box": "constant box", "centre_box": "centered box"}


class TrainedModel(NamedTuple):
    """A model card, the epochs of the training (epoch, loss, val_iou), and the number of images of each split."""

    card: ModelCard
    history: pd.DataFrame
    counts: Mapping[str, int]


@dataclass(frozen=True)
class ReportContext:
    """What the report shows besides the EvaluationResult.

    dataset: NAME of data/NAME. show_images: of its dataset.yaml. paths: of the images, in the order of
    `EvaluationResult.images`. models: the one of the stage, or one per fold. params: of the stage evaluate. findings:
    validate's counts. label_errors: rows of `label_errors`. digests: of the inputs, by file.
    """

    dataset: str
    show_images: bool
    paths: Sequence[Path]
    models: Sequence[TrainedModel]
    params: Mapping[str, Any]
    findings: Mapping[str, int]
    label_errors: pd.DataFrame
    digests: Mapping[str, str]

    @property
    def card(self) -> ModelCard:
        """Return the model's card; that of the first of several."""
        return self.models[0].card

    @property
    def counts(self) -> dict[str, int]:
        """Return the number of images of each split, the mean of several models' splits."""
        models = self.models
        return {name: round(sum(one.counts[name] for one in models) / len(models)) for name in models[0].counts}

    @property
    def unlimited_margins(self) -> int:
        """Return the number of models without a fitted margin."""
        return sum(model.card.calibration.margin is None for model in self.models)


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
    rows = _records(result.images.assign(path=[str(path) for path in context.paths]))
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
    constant, constant_iou = BASELINES["mean_box"], result.baselines["mean_box"]
    this = "these models" if result.folds else "this model"
    constant_curve = curve(constant_iou, result.images["cluster"].to_numpy())
    largest = result.slices.nlargest(MAX_PLOTTED_SLICES, "images").sort_index().replace({"slice": {"": NO_LABEL}})
    return {
        "curve": plots.curve_plot({this: result.curve, constant: constant_curve}),
        "histogram": plots.histogram({this: result.images["iou"].to_numpy(), constant: constant_iou}),
        "loss": _by_epoch(context.models, "loss", "training loss"),
        "val_iou": _by_epoch(context.models, "val_iou", "mean IoU on validation"),
        "slices": plots.slices_plot(largest, result.metrics["mean_iou"]),
    }


def _by_epoch(models: Sequence[TrainedModel], column: str, name: str) -> str:
    """Return the plot of a column of the trainings' epochs, with the selected epoch of a single one."""
    lines = {f"fold {number}": model.history.set_index("epoch")[column] for number, model in enumerate(models)}
    return plots.lines(lines, x="epoch", y=name, mark=models[0].card.best_epoch if len(models) == 1 else None)


def summary(result: EvaluationResult) -> str:
    """Return the result in a few lines, for the terminal and MLflow."""
    metrics, iou = result.metrics, result.metrics["mean_iou"]
    gain, where = metrics["gain_over_mean_box"], f"{result.folds} folds pooled" if result.folds else "test split"
    lines = [
        f"{where}, {len(result.images)} images: mean IoU {iou.value:.3f} [{iou.low:.3f} to {iou.high:.3f}], median "
        f"{metrics['median_iou'].value:.3f}, IoU >= 0.5 on {metrics['iou_50'].value:.0%}, >= 0.75 on "
        f"{metrics['iou_75'].value:.0%}",
        f"baselines: mean box {metrics['mean_box_iou'].value:.3f}, centered box {metrics['centre_box_iou'].value:.3f}; "
        f"gain over the mean box {gain.value:+.3f} [{gain.low:+.3f} to {gain.high:+.3f}]",
        f"a margin of {result.images['margin_px'].mean():.1f} px on average covers {metrics['coverage'].value:.0%} of "
        f"the ground truth (nominal: {COVERAGE:.0%})",
        *(f"evaluate: WARNING: {warning}" for warning in result.warnings),
    ]
    return "\n".join(lines)
