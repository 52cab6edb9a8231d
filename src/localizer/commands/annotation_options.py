"""What a command reads: a data set's folder by its card, or a file of annotations by options and column names."""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from localizer.boxes import BoxFormat
from localizer.findings import BadFileError, critical

if TYPE_CHECKING:
    from localizer.dataset import Dataset
    from localizer.datasets.create import Evidence

COLUMNS = ("image", "box", "label", "group", "width", "height")
OTHERS = ("label", "box_format", "box_units", "box_origin", "multiple", "on_bad_row", "clip_px")


class UsageError(ValueError):
    """The command was given what can't be meant."""


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
    """Return what the options say, as `propose_config` takes it."""
    columns = {name: getattr(options, _option(name)) for name in COLUMNS}
    return {name: getattr(options, name) for name in OTHERS} | {"columns": columns}


def given(options: argparse.Namespace) -> list[str]:
    """Return the options of reading that were given, as they are typed."""
    names = [*map(_option, COLUMNS), *OTHERS]
    return [f"--{name.replace('_', '-')}" for name in names if getattr(options, name) is not None]


def find_subject(
    target: Path,
    options: argparse.Namespace,
    *,
    evidence: "Evidence",
    card: Path | None = None,
    tell: Callable[[str], None] = lambda reason: None,
) -> "Dataset":
    """Return what a data set's folder holds, or annotations as a card, the options or their column names say.

    tell: is given a line for each thing that was guessed. Raises UsageError where options contradict a card,
    BadFileError where a card is wrong or columns can't be told.
    """
    own = target / "dataset.yaml"
    if own.is_file() or card:
        if contrary := given(options):
            raise UsageError(
                f"{', '.join(contrary)}: the card says how to read {target}; leave that out, or change the card"
            )
        return _by_card(target, own if own.is_file() else card or own, options.images)
    return _by_options(target, options, evidence, tell)


def _by_card(target: Path, card: Path, images: Path | None) -> "Dataset":
    """Return what a data set's folder holds, or annotations as a card that lies elsewhere says."""
    from localizer.dataset import Dataset, open_dataset, read_config_file

    try:
        if card == target / "dataset.yaml":
            found = open_dataset(target)
            return replace(found, images=images or found.images)
        return Dataset(read_config_file(card), target, images, card)
    except ValueError as error:
        told = {"got": str(error), "expected": "a data set's card", "fix": "correct the card: docs/data-sets.md"}
        raise BadFileError([critical(str(card), "card_invalid", line=None, column="", **told)]) from None


def _by_options(
    target: Path, options: argparse.Namespace, evidence: "Evidence", tell: Callable[[str], None]
) -> "Dataset":
    from localizer.dataset import Dataset
    from localizer.datasets.create import propose_config

    try:
        draft = propose_config(target.stem, target, choices(options), images=options.images, evidence=evidence)
    except BadFileError:
        raise
    except ValueError as error:
        raise UsageError(str(error)) from None
    for reason in draft.reasons:
        tell(reason)
    return Dataset(draft.card, target, options.images)


def _option(column: str) -> str:
    return "box_columns" if column == "box" else f"{column}_column"
