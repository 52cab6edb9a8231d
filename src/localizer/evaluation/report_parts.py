"""Parts of HTML pages: the Jinja environment, formatted numbers, and images with boxes."""

import base64
import math
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from localizer.drawing import PREDICTED_COLOR, TRUE_COLOR, Box, tile
from localizer.evaluation.metrics import METRICS
from localizer.tables import EDGES, PREDICTED_EDGES

NO_LABEL = "(none)"  # shown for an empty label


class ImageFigure(NamedTuple):
    """An image with boxes as a data URI, empty if it must not be shown, and its row of values."""

    source: str
    row: Mapping[str, Any]


def environment(*folders: Path) -> Environment:
    """Return the environment of the templates in this folder and others; text in them is escaped."""
    pages = Environment(
        loader=FileSystemLoader([Path(__file__).parent, *folders]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    pages.filters |= FORMATS | {"thousands": "{:,}".format, "path": breakable}
    pages.globals |= {"TRUE": TRUE_COLOR, "PREDICTED": PREDICTED_COLOR, "NO_LABEL": NO_LABEL, "METRICS": METRICS}
    pages.globals |= {"FORMATS": FORMATS, "interval": interval}
    return pages


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


def image_figure(row: Mapping[str, Any], other_boxes_px: Mapping[str, Box] | None = None) -> ImageFigure:
    """Return the figure of a row with path, EDGES and PREDICTED_EDGES; other_boxes_px: more boxes, by color."""
    true_px, pred_px = ([row[edge] for edge in edges] for edges in (EDGES, PREDICTED_EDGES))
    boxes_px = {TRUE_COLOR: true_px} | dict(other_boxes_px or {}) | {PREDICTED_COLOR: pred_px}
    file = BytesIO()
    tile(Path(row["path"]), boxes_px).save(file, "JPEG", quality=85, subsampling=0)  # or thin lines lose their color
    return ImageFigure("data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode(), row)
