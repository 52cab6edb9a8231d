"""What evaluate leaves: tables, plots, gallery, report and metrics; and the result in a few lines."""

import json
from collections.abc import Mapping
from pathlib import Path

from localizer.calibration import COVERAGE
from localizer.evaluation.evaluate import PREDICTED_EDGES, EvaluationResult
from localizer.evaluation.gallery import gallery, not_shown
from localizer.evaluation.report import About
from localizer.files import replace_text, replacing, replacing_folder
from localizer.tables import EDGES


def write_plots(svgs: Mapping[str, str], folder: Path) -> None:
    """Write each plot as NAME.svg into the folder, emptied before."""
    with replacing_folder(folder) as made:
        for name, svg in svgs.items():
            replace_text(made / f"{name}.svg", svg)


def write_gallery(found: EvaluationResult, about: About, path: Path) -> None:
    """Write the picture of the best, median and worst images, or of none where the data set forbids it."""
    seen = (found.images[columns].to_numpy() for columns in (EDGES, PREDICTED_EDGES, "iou"))
    sheet = gallery(about.paths, *seen) if about.show_images else not_shown()
    with replacing(path) as file:
        sheet.save(file, "PNG")


def write_metrics(found: EvaluationResult, path: Path) -> None:
    """Write the metrics that runs are compared by."""
    replace_text(path, json.dumps(found.metrics(), indent=2) + "\n")


def summary(found: EvaluationResult, *, report: Path) -> str:
    """Return the result in a few lines, for the terminal and MLflow."""
    m, one = found.measures, found.measures["mean_iou"]
    gain, rivals = m["gain_over_mean_box"], found.baselines
    lines = [
        f"test, {len(found.images)} images: mean IoU {one.value:.3f} [{one.low:.3f} to {one.high:.3f}], median "
        f"{m['median_iou'].value:.3f}, IoU >= 0.5 on {m['iou_50'].value:.0%}, >= 0.75 on {m['iou_75'].value:.0%}",
        f"baselines: mean box {rivals['mean_box'].value:.3f}, centred box {rivals['centre_box'].value:.3f}; gain over "
        f"the mean box {gain.value:+.3f} [{gain.low:+.3f} to {gain.high:+.3f}]",
        f"a margin of {found.images['margin_px'].mean():.1f} px on average holds {m['coverage'].value:.0%} of the true "
        f"boxes; {COVERAGE:.0%} is promised",
        *(f"evaluate: WARNING: {warning}" for warning in found.warnings),
        f"report: {report}",
    ]
    return "\n".join(lines)
