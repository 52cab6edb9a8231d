"""The files of an evaluation, in one folder."""

import json
from pathlib import Path
from typing import NamedTuple

from localizer.evaluation.evaluate import EvaluationResult
from localizer.evaluation.gallery import gallery, placeholder
from localizer.evaluation.label_errors import COLUMNS
from localizer.evaluation.report import ReportContext, draw_plots, report
from localizer.files import replace_text, replacing, replacing_folder
from localizer.tables import EDGES, PREDICTED_EDGES, write_table


class Outputs(NamedTuple):
    """The paths of the files; plots is a folder."""

    metrics: Path
    measures: Path
    predictions: Path
    curve: Path
    slices: Path
    label_errors: Path
    plots: Path
    report: Path
    gallery: Path


def outputs_in(folder: Path) -> Outputs:
    """Return the paths of an evaluation's files in a folder."""
    return Outputs(
        metrics=folder / "metrics.json",
        measures=folder / "measures.csv",
        predictions=folder / "predictions.csv",
        curve=folder / "iou_curve.csv",
        slices=folder / "slices.csv",
        label_errors=folder / "suspects.csv",
        plots=folder / "plots",
        report=folder / "report.html",
        gallery=folder / "gallery.png",
    )


def write_outputs(result: EvaluationResult, context: ReportContext, outputs: Outputs) -> None:
    """Write all outputs once all are computed, so that an error leaves no part of them."""
    svgs = draw_plots(result, context)
    page = report(result, context, svgs=svgs)
    boxes = (result.images[columns].to_numpy() for columns in (EDGES, PREDICTED_EDGES, "iou"))
    sheet = gallery(context.paths, *boxes) if context.show_images else placeholder()
    write_table(result.metrics_table(), outputs.measures)
    write_table(result.images, outputs.predictions)
    write_table(result.curve, outputs.curve)
    write_table(result.slices, outputs.slices)
    write_table(context.label_errors[[*COLUMNS, *EDGES, *PREDICTED_EDGES]], outputs.label_errors)
    with replacing_folder(outputs.plots) as folder:
        for name, svg in svgs.items():
            replace_text(folder / f"{name}.svg", svg)
    with replacing(outputs.gallery) as file:
        sheet.save(file, "PNG")
    replace_text(outputs.report, page)
    replace_text(outputs.metrics, json.dumps(result.metric_values(), indent=2) + "\n")
