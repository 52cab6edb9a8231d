"""The annotations that a command reads: a data set's folder, or files by options and column names."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from localizer.boxes import BoxFormat
from localizer.findings import BadFileError, bad_file

if TYPE_CHECKING:
    from localizer.dataset import Dataset

COLUMNS = ("image", "box", "label", "group", "width", "height", "split")
LAYOUT = ("format", "encoding", "separator", "decimal", "header")
OTHERS = ("label", "box_format", "box_units", "box_origin", "shapes", "multiple", "on_bad_row", "clip_px", *LAYOUT)
UNITS = ("pixel", "unit", "percent", "thousandth")
SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}


class UsageError(ValueError):
    """Options that contradict each other or name something that doesn't fit."""


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how to read annotations, all of them optional."""
    reading = parser.add_argument_group("how to read the annotations, where it isn't detected correctly")
    reading.add_argument("--image-column", help="column of the image's path, relative to --images")
    reading.add_argument(
        "--box-columns",
        type=lambda text: text.split(","),
        metavar="A,B,C,D",
        help="the four columns of a box, in the order of --box-format",
    )
    reading.add_argument("--label-column", help="column of the class name")
    reading.add_argument("--group-column", help="column of what a split must keep together: a video, a patient")
    reading.add_argument("--width-column", help="column of the image's width in pixels, to be checked")
    reading.add_argument("--height-column", help="column of the image's height in pixels, to be checked")
    reading.add_argument("--split-column", help="column of the split that an image belongs to")
    _add_box_options(reading)
    _add_layout_options(reading)


def _add_layout_options(reading: "argparse._ArgumentGroup") -> None:
    reading.add_argument("--format", metavar="NAME", help="of the annotations: docs/reference/formats.md")
    reading.add_argument("--encoding", help="of a CSV's text: utf-8, cp1252, utf-16, ...")
    reading.add_argument(
        "--separator", type=lambda text: SEPARATORS.get(text, text), help="of a CSV: comma, semicolon, tab or bar"
    )
    reading.add_argument("--decimal", choices=(".", ","), help="the decimal mark of a CSV's numbers")
    reading.add_argument(
        "--header",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="whether a CSV's first row names its columns; without, they are called 1, 2, 3",
    )


def _add_box_options(reading: "argparse._ArgumentGroup") -> None:
    reading.add_argument("--box-format", choices=get_args(BoxFormat), help="the order of a box's four numbers")
    reading.add_argument("--box-units", choices=UNITS, help="unit: fractions of width and height")
    reading.add_argument("--box-origin", type=int, choices=(0, 1), help="1: pixels counted from 1, as in Pascal VOC")
    reading.add_argument("--shapes", choices=("ignore", "bounds"), help="bounds: polygons count by their bounds")
    reading.add_argument("--label", help="the label of the one object; all labels if not given")
    reading.add_argument("--multiple", choices=("error", "largest", "drop"), help="for images with several boxes")
    reading.add_argument("--on-bad-row", choices=("fail", "quarantine"), help="quarantine: set bad rows aside")
    reading.add_argument("--clip-px", type=float, help="clip boxes that exceed their image by at most so many pixels")


def choices(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options as the choices of `propose_config`."""
    columns = {name: getattr(options, _option(name)) for name in COLUMNS}
    return {name: getattr(options, name) for name in OTHERS} | {"columns": columns}


def given_options(options: argparse.Namespace) -> list[str]:
    """Return the options of `add_reading_options` that were given, as they are typed."""
    names = [*map(_option, COLUMNS), *OTHERS]
    return [f"--{name.replace('_', '-')}" for name in names if getattr(options, name) is not None]


def find_dataset(
    target: Path, options: argparse.Namespace, *, config_path: Path | None = None
) -> "tuple[Dataset, tuple[str, ...]]":
    """Return a data set's folder, or annotations read by a config, or by options and column names; and why so.

    config_path: a dataset.yaml that lies elsewhere. The reasons are one line for each detected value. Raises UsageError
    where options contradict a config, BadFileError where a config is wrong or columns can't be detected.
    """
    from localizer.dataset import Dataset
    from localizer.datasets.detection.propose import propose_config

    own = target / "dataset.yaml"
    if own.is_file() or config_path:
        if contrary := given_options(options):
            raise UsageError(f"{', '.join(contrary)}: dataset.yaml declares this; leave it out, or edit dataset.yaml")
        return _by_config(target, None if own.is_file() else config_path, options.images), ()
    try:
        proposal = propose_config(target.resolve().stem or "dataset", target, choices(options), images=options.images)
    except BadFileError:
        raise
    except ValueError as error:
        raise UsageError(str(error)) from None
    return Dataset(proposal.config, target, options.images), proposal.reasons


def _by_config(target: Path, config_path: Path | None, images: Path | None) -> "Dataset":
    """Return a data set's folder, or annotations by a config that lies elsewhere."""
    from localizer.dataset import Dataset, open_dataset, read_config_file

    try:
        if config_path:
            return Dataset(read_config_file(config_path), target, images, config_path)
        dataset = open_dataset(target)
        return replace(dataset, images=images or dataset.images)
    except ValueError as error:
        file, fix = str(config_path or target / "dataset.yaml"), "correct it: docs/reference/dataset-yaml.md"
        raise bad_file(file, "card_invalid", got=str(error), expected="a valid dataset.yaml", fix=fix) from None


def _option(column: str) -> str:
    return "box_columns" if column == "box" else f"{column}_column"
