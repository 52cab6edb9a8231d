"""`localizer convert`: annotations from one format to another."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from localizer.commands.annotation_options import UsageError, add_reading_options, find_dataset, given_options

if TYPE_CHECKING:
    from localizer.dataset import Dataset

SELECTING = ("--label", "--multiple", "--on-bad-row", "--clip-px")  # options that choose among boxes, or change them


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "annotations",
        type=Path,
        metavar="ANNOTATIONS",
        help="a file or folder of annotations (docs/reference/formats.md), or a data set's folder, data/NAME",
    )
    parser.add_argument("--images", type=Path, metavar="DIR", help="the folder that the annotations' images are in")
    parser.add_argument("--to", choices=("csv", "voc", "coco", "yolo"), required=True)
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="PATH",
        help="a file for csv and coco, a folder for voc and yolo, that does not exist yet",
    )
    add_reading_options(parser)


def run(options: argparse.Namespace) -> int:
    """Write annotations in another format, and list what that can't hold; images are not copied."""
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


def _dataset(options: argparse.Namespace) -> "Dataset":
    """Return the data set to convert: by its dataset.yaml, or else as `localizer init` would create it."""
    if chosen := [option for option in given_options(options) if option in SELECTING]:
        raise UsageError(f"{', '.join(chosen)}: all boxes are converted as they are; leave the option out")
    dataset, reasons = find_dataset(options.annotations, options)
    for reason in reasons:
        print(f"read as {reason}", file=sys.stderr)
    return dataset
