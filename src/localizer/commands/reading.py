"""The options that say how annotations are to be read, where nothing else does."""

import argparse
from typing import Any, get_args

from localizer.boxes import BoxFormat


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """Add the options, all of which may be left out."""
    reading = parser.add_argument_group("how to read the annotations, where their names don't tell")
    reading.add_argument("--image-column", help="column of the image's path, relative to --images")
    reading.add_argument(
        "--box-columns",
        type=lambda text: text.split(","),
        metavar="A,B,C,D",
        help="in the order of --box-format",
    )
    reading.add_argument("--label-column")
    reading.add_argument("--group-column", help="column of what a split must keep together: a video, a patient")
    reading.add_argument("--width-column", help="column of the image's width in pixels, to be checked")
    reading.add_argument("--height-column")
    reading.add_argument("--box-format", choices=get_args(BoxFormat))
    reading.add_argument("--box-units", choices=("pixel", "unit"))
    reading.add_argument("--box-origin", type=int, choices=(0, 1), help="1: pixels counted from 1, as in Pascal VOC")
    reading.add_argument("--label", help="the label of the one object; all labels if not given")
    reading.add_argument("--multiple", choices=("error", "largest", "drop"), help="for images with several boxes")
    reading.add_argument("--on-bad-row", choices=("fail", "quarantine"))
    reading.add_argument("--clip-px", type=float, help="clip boxes that stick out of their image by no more")


def choices(options: argparse.Namespace) -> dict[str, Any]:
    """Return what the options say, as `draft_card` takes it."""
    columns = {"image": options.image_column, "label": options.label_column, "box": options.box_columns}
    columns |= {"group": options.group_column, "width": options.width_column, "height": options.height_column}
    keys = ("label", "box_format", "box_units", "box_origin", "multiple", "on_bad_row", "clip_px")
    return {key: getattr(options, key) for key in keys} | {"columns": columns}
