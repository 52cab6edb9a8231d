"""Parts of pages: numbers in words, measures explained, pictures with boxes, and the templates' environment."""

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
from localizer.evaluation.evaluate import COLLAPSED, PREDICTED_EDGES, EvaluationResult, spread
from localizer.evaluation.gallery import picked
from localizer.evaluation.intervals import Estimate
from localizer.evaluation.label_errors import SHOWN
from localizer.tables import EDGES

UNNAMED = "(none)"  # a label without letters
MOST_NAMED = 3  # labels in a line
BASELINES = {"mean_box": "constant box", "centre_box": "centred box"}  # as a page calls them
# The name, how a number is written, and what it means; in the order of the page.
MEASURES = {
    "mean_iou": ("Mean IoU", "three", "The mean over all test images. At 1 every box is exact, at 0 none touches."),
    "mean_box_iou": (
        "Mean IoU of the constant box",
        "three",
        "What the same box on every image reaches: the mean of the training images' boxes.",
    ),
    "centre_box_iou": (
        "Mean IoU of the centred box",
        "three",
        "What a box in the middle of every image reaches, of the training boxes' mean width and height.",
    ),
    "gain_over_mean_box": ("Gain over the constant box", "signed", "How much higher the model's mean IoU is."),
    "gain_over_centre_box": ("Gain over the centred box", "signed", "How much higher the model's mean IoU is."),
    "median_iou": ("Median IoU", "three", "Half of the images have a better box than this, half a worse one."),
    "worst_decile_iou": (
        "Mean IoU of the worst tenth",
        "three",
        "The mean over the tenth of the images with the worst boxes: how bad it gets.",
    ),
    "mean_giou": (
        "Mean GIoU",
        "three",
        "Like IoU, but a box that misses its object counts below 0, the farther off the lower; -1 at worst.",
    ),
    "iou_50": ("IoU of 0.5 or more", "percent", "Images whose box is on the object, as one usually counts it."),
    "iou_75": ("IoU of 0.75 or more", "percent", "Images whose box fits well."),
    "iou_90": ("IoU of 0.9 or more", "percent", "Images whose box fits almost exactly."),
    "iou_50_95": (
        "Mean share from 0.50 to 0.95",
        "percent",
        "The mean of the shares of images at an IoU of 0.50, 0.55, and so on to 0.95, or more: rewards tight boxes.",
    ),
    "centre_error_px": ("Error of the centre", "pixels", "How far the centres of both boxes are apart, on average."),
    "width_error_px": ("Error of the width", "pixels", "How much too wide or too narrow a box is, on average."),
    "height_error_px": (
        "Error of the height",
        "pixels",
        "How much too tall or too short a box is, on average.",
    ),
    "coverage": (
        "Held by the margin",
        "percent",
        "Images whose true box lies inside the predicted box and its margin.",
    ),
    "confident": (
        "Confident",
        "percent",
        "Images on which the model, when they are mirrored, gives as similar a box as is usual for it.",
    ),
}
FINDINGS = {
    "rows": "rows in the annotation files",
    "images": "images with an annotation",
    "clean_images": "clean images, which were split into sides",
    "set_aside": "rows set aside, which nothing uses",
    "critical": "critical findings",
    "warnings": "warnings",
}


class Told(NamedTuple):
    """A measure as a row of a page shows it."""

    name: str
    value: str
    interval: str
    meaning: str


class Picture(NamedTuple):
    """An image as a page shows it; `source` is a data URI, or empty where it may not be shown."""

    source: str
    image: str
    row: Mapping[str, Any]


def environment(*folders: Path) -> Environment:
    """Return what renders the templates beside this module, and in other folders; text in them is escaped."""
    made = Environment(
        loader=FileSystemLoader([Path(__file__).parent, *folders]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= WRITTEN | {"thousands": "{:,}".format, "path": broken}
    made.globals |= {"TRUE": TRUE, "PREDICTED": PREDICTED, "UNNAMED": UNNAMED, "interval": interval}
    return made


def three(value: float) -> str:
    """Return an IoU in three digits."""
    return f"{value:z.3f}"


def signed(value: float) -> str:
    """Return a difference of IoU in three digits, with its sign; never -0."""
    return f"{value:+z.3f}"


def percent(share: float) -> str:
    """Return a share as a percentage, whole but where that would say none or all of what isn't."""
    whole = f"{share:.0%}"
    return f"{share:.1%}" if whole in ("0%", "100%") and share not in (0, 1) else whole


def pixels(value: float) -> str:
    """Return a length in pixels, to the tenth below 10; no line ends before its unit."""
    return f"{value:.1f}\u00a0px" if value < 10 else f"{value:.0f}\u00a0px"


def broken(path: str) -> Markup:
    """Return a path that a narrow column breaks after its slashes, escaped."""
    return Markup("/<wbr>").join(path.split("/"))


WRITTEN = {"three": three, "signed": signed, "percent": percent, "pixels": pixels}


def interval(low: float, high: float, written: str = "three") -> str:
    """Return an interval in the words of a page; NaN stands for one that can't be told."""
    write = WRITTEN[written]
    return "not known" if math.isnan(low) or math.isnan(high) else f"{write(low)} to {write(high)}"


def called(labels: str) -> str:
    """Return what a box is drawn around: the labels of a model's card, or how many they are past MOST_NAMED.

    The card has them in one line: a label with a comma and a blank in it counts as two.
    """
    names = [name or UNNAMED for name in labels.split(", ")]
    return ", ".join(names) if len(names) <= MOST_NAMED else f"{len(names)} kinds of object"


def explained(judgement: EvaluationResult) -> list[Told]:
    """Return the measures and baselines with what they mean; those that have no words yet stand at the end."""
    found = judgement.measures | {f"{name}_iou": one for name, one in judgement.baselines.items()}
    names = [name for name in MEASURES if name in found] + [name for name in found if name not in MEASURES]
    return [_told(name, found[name]) for name in names]


def _told(name: str, one: Estimate) -> Told:
    title, written, meaning = MEASURES.get(name, (name, "three", ""))
    return Told(title, WRITTEN[written](one.value), interval(one.low, one.high, written), meaning)


def confidence(images: pd.DataFrame) -> tuple[float, float] | None:
    """Return the mean IoU where the model is confident and where it isn't; None where one of both has no image."""
    means = images.groupby("confident")["iou"].mean()
    return (float(means[True]), float(means[False])) if {True, False} <= {*means.index} else None


def collapsed(images: pd.DataFrame) -> bool:
    """Return whether the predicted boxes are nearly the same on all images; a model is always sure of such boxes."""
    size = images[["width", "height"] * 2].to_numpy()
    return spread(images[PREDICTED_EDGES].to_numpy() / size, images[EDGES].to_numpy() / size) < COLLAPSED


def shown_images(images: pd.DataFrame, paths: Sequence[Path]) -> dict[str, list[Picture]]:
    """Return the worst, median and best images with their boxes; paths: of all images, in order."""
    rows = _records(images.assign(path=[str(path) for path in paths]))
    chosen = picked(images["iou"].to_numpy())
    return {name: [_picture(rows[index]) for index in chosen[name]] for name in ("worst", "median", "best")}


def shown_suspects(suspects: pd.DataFrame, *, pictured: bool) -> list[Picture]:
    """Return the first SHOWN suspects."""
    return [_picture(row) if pictured else Picture("", row["image"], row) for row in _records(suspects[:SHOWN])]


def found_in_data(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return validate's counts, each with its name in words."""
    names = [name for name in FINDINGS if name in counts] + [name for name in counts if name not in FINDINGS]
    return [(FINDINGS.get(name, name), counts[name]) for name in names]


def data_uri(path: Path, boxes_px: Mapping[str, Box]) -> str:
    """Return a tile of the image with boxes {colour: xyxy in pixels} as a JPEG in a data URI."""
    file = BytesIO()
    tile(path, boxes_px).save(file, "JPEG", quality=85, subsampling=0)  # else thin lines lose their colour
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows with values of Python's own: a template's `is false` is never true of one of numpy's."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _picture(row: Mapping[str, Any]) -> Picture:
    boxes_px = {TRUE: [row[edge] for edge in EDGES], PREDICTED: [row[edge] for edge in PREDICTED_EDGES]}
    return Picture(data_uri(Path(row["path"]), boxes_px), row["image"], row)
