"""`localizer convert`: annotations from one format to another."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Option

from localizer.commands.annotation_options import TARGET, ReadingOptions, find_dataset
from localizer.commands.options import UsageError

if TYPE_CHECKING:
    from localizer.dataset import Dataset

SELECTING = ("--label", "--multiple", "--on-bad-row", "--clip-px")  # options that choose among boxes, or change them


@dataclass(frozen=True, kw_only=True)
class Options(ReadingOptions):
    annotations: Annotated[Path, Argument(metavar="ANNOTATIONS", help=TARGET)]
    images: Annotated[Path | None, Option(metavar="DIR", help="the folder that the annotations' images are in")] = None
    to: Annotated[Literal["csv", "voc", "coco", "yolo"], Option(help="format to write")]
    output: Annotated[
        Path,
        Option(metavar="PATH", help="a file for csv and coco, a folder for voc and yolo, that does not exist yet"),
    ]


def run(options: Options) -> int:
    """Write annotations in another format, and list what that can't hold; images are not copied.

    Example: localizer convert boxes.csv --images photos/ --to coco --output boxes.json
    """
    from localizer.datasets.convert import convert
    from localizer.datasets.writers import check_new, write_boxes

    if options.to == "coco" and options.output.suffix.lower() != ".json":
        raise ValueError(f"--output {options.output}: expected a name that ends in .json, by which COCO is recognized")
    check_new(options.output)
    conversion = convert(_dataset(options), options.to)
    boxes = conversion.boxes
    for finding in conversion.unwritten:
        print(f"not written: {finding}", file=sys.stderr)
    if boxes.empty:
        raise ValueError(f"{options.annotations}: not one box can be written as {options.to}; nothing was written")
    write_boxes(boxes, conversion.background, options.output, to=options.to)
    print(f"{options.output}: {len(boxes)} boxes of {boxes['image'].nunique()} images, as {options.to}")
    if options.to == "voc":
        print("Pixels are counted from 1, as in Pascal VOC's own files: read them with box_origin: 1.")
    for content in conversion.lost:
        print(f"Not converted: {content}")
    return 1 if conversion.unwritten else 0


def _dataset(options: Options) -> "Dataset":
    """Return the data set to convert: by its dataset.yaml, or else as `localizer init` would create it."""
    if chosen := [option for option in options.given() if option in SELECTING]:
        raise UsageError(f"{', '.join(chosen)}: all boxes are converted as they are; leave the option out")
    dataset, reasons = find_dataset(options.annotations, options, images=options.images)
    for reason in reasons:
        print(f"read as {reason}", file=sys.stderr)
    return dataset
