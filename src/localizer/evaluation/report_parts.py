"""Parts of HTML pages: formatted numbers, explained metrics, images with boxes, and the Jinja environment."""

import base64
import math
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from localizer.drawing import PREDICTED, TRUE, Box, tile
from localizer.evaluation.evaluate import MIN_SPREAD, EvaluationResult, relative_spread
from localizer.evaluation.gallery import ranked_rows
from localizer.evaluation.intervals import Estimate
from localizer.evaluation.label_errors import SHOWN
from localizer.evaluation.metrics import METRICS, MetricText
from localizer.tables import EDGES, PREDICTED_EDGES

NO_LABEL = "(none)"  # shown for an empty label
MAX_LABELS = 3  # listed in a heading
FINDINGS = {
    "rows": "rows in the annotation files",
    "images": "images with an annotation",
    "clean_images": "clean images, which were split",
    "set_aside": "rows set aside, which nothing uses",
    "critical": "critical findings",
    "warnings": "warnings",
}


class MetricRow(NamedTuple):
    """A metric as a row of a page."""

    name: str
    value: str
    interval: str
    meaning: str


class ImageFigure(NamedTuple):
    """An image with boxes as a data URI, empty if it must not be shown, and its row of values."""

    source: str
    row: Mapping[str, Any]


def environment(*folders: Path) -> Environment:
    """Return the environment of the templates in this folder and others; text in them is escaped."""
    made = Environment(
        loader=FileSystemLoader([Path(__file__).parent, *folders]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= FORMATS | {"thousands": "{:,}".format, "path": breakable}
    made.globals |= {"TRUE": TRUE, "PREDICTED": PREDICTED, "NO_LABEL": NO_LABEL, "interval": interval}
    return made


def percent(share: float) -> str:
    """Return a percentage, without digits unless that would round to 0% or 100%."""
    text = f"{share:.0%}"
    return f"{share:.1%}" if text in ("0%", "100%") and share not in (0, 1) else text


def pixels(value: float) -> str:
    """Return a length in pixels, to the tenth below 10, with a no-break space."""
    return f"{value:.1f}\u00a0px" if value < 10 else f"{value:.0f}\u00a0px"


FORMATS = {"iou": "{:z.3f}".format, "difference": "{:+z.3f}".format, "share": percent, "pixels": pixels}


def interval(low: float, high: float, unit: str = "iou") -> str:
    """Return an interval as text; NaN stands for an unknown one."""
    write = FORMATS[unit]
    return "not known" if math.isnan(low) or math.isnan(high) else f"{write(low)} to {write(high)}"


def breakable(path: str) -> Markup:
    """Return the escaped path with line breaks allowed after its slashes."""
    return Markup("/<wbr>").join(path.split("/"))


def object_name(labels: str) -> str:
    """Return what the model localizes: the model card's labels, or their number above MAX_LABELS.

    The card joins them by ", ", so a label that contains it counts as two.
    """
    names = [name or NO_LABEL for name in labels.split(", ")]
    return ", ".join(names) if len(names) <= MAX_LABELS else f"{len(names)} kinds of object"


def metric_rows(metrics: Mapping[str, Estimate]) -> list[MetricRow]:
    """Return the metrics with their names and meanings; those that METRICS lacks come last."""
    names = [name for name in METRICS if name in metrics] + [name for name in metrics if name not in METRICS]
    return [_metric_row(METRICS.get(name, MetricText(name, "iou")), metrics[name]) for name in names]


def _metric_row(text: MetricText, metric: Estimate) -> MetricRow:
    ends = interval(metric.low, metric.high, text.unit)
    return MetricRow(text.name, FORMATS[text.unit](metric.value), ends, text.meaning)


def iou_by_confidence(images: pd.DataFrame) -> tuple[float, float] | None:
    """Return the mean IoU of confident predictions and of the others; None if there are none of either."""
    means = images.groupby("confident")["iou"].mean()
    return (float(means[True]), float(means[False])) if {True, False} <= {*means.index} else None


def is_collapsed(images: pd.DataFrame) -> bool:
    """Return whether the predicted boxes are nearly the same on all images, where a model is always confident."""
    size = images[["width", "height"] * 2].to_numpy()
    return relative_spread(images[PREDICTED_EDGES].to_numpy() / size, images[EDGES].to_numpy() / size) < MIN_SPREAD


def gallery_figures(result: EvaluationResult, paths: Sequence[Path]) -> dict[str, list[ImageFigure]]:
    """Return the worst, median and best images with their boxes; paths: of all images, in order."""
    rows = _records(result.images.assign(path=[str(path) for path in paths]))
    ranked = ranked_rows(result.images["iou"].to_numpy())
    return {name: [image_figure(rows[index]) for index in ranked[name]] for name in ("worst", "median", "best")}


def label_error_figures(errors: pd.DataFrame, *, show_images: bool) -> list[ImageFigure]:
    """Return the first SHOWN likely label errors."""
    return [image_figure(row) if show_images else ImageFigure("", row) for row in _records(errors[:SHOWN])]


def finding_counts(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return validate's counts, each with its name in words."""
    names = [name for name in FINDINGS if name in counts] + [name for name in counts if name not in FINDINGS]
    return [(FINDINGS.get(name, name), counts[name]) for name in names]


def image_figure(row: Mapping[str, Any], other_boxes_px: Mapping[str, Box] | None = None) -> ImageFigure:
    """Return the figure of a row with path, EDGES and PREDICTED_EDGES; other_boxes_px: more boxes, by color."""
    true_px, pred_px = ([row[edge] for edge in edges] for edges in (EDGES, PREDICTED_EDGES))
    boxes_px = {TRUE: true_px} | dict(other_boxes_px or {}) | {PREDICTED: pred_px}
    file = BytesIO()
    tile(Path(row["path"]), boxes_px).save(file, "JPEG", quality=85, subsampling=0)  # or thin lines lose their color
    return ImageFigure("data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode(), row)


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows with Python's own values: Jinja's `is false` is never true of numpy's."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
