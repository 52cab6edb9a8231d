"""`localizer convert`: annotations from one format to another."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from localizer.commands.annotation_options import UsageError, add_reading_options, find_subject, given

if TYPE_CHECKING:
    from localizer.dataset import Dataset

NOT_HERE = ("--label", "--multiple", "--on-bad-row", "--clip-px")  # options of reading that choose among boxes


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "annotations",
        type=Path,
        metavar="ANNOTATIONS",
        help="a CSV, a COCO .json, a folder of Pascal VOC or YOLO files, or a data set's folder, data/NAME",
    )
    parser.add_argument("--images", type=Path, metavar="DIR", help="the folder that the annotations' images are in")
    parser.add_argument("--to", choices=("csv", "voc", "coco", "yolo"), required=True)
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="PATH",
        help="a file for csv and coco, a folder for voc and yolo, that is not there yet",
    )
    add_reading_options(parser)


def run(options: argparse.Namespace) -> int:
    """Write annotations in another format, and say what that can't hold; images are not copied."""
    from localizer.datasets.convert import convert
    from localizer.datasets.writers import refuse_taken, write_boxes

    if options.to == "coco" and options.output.suffix.lower() != ".json":
        raise ValueError(f"--output {options.output}: a name that ends in .json was expected, by which COCO is known")
    refuse_taken(options.output)
    found = convert(_subject(options), options.to)
    for finding in found.unwritten:
        print(f"not written: {finding}", file=sys.stderr)
    if found.boxes.empty:
        raise ValueError(f"{options.annotations}: not one box can be written as {options.to}; nothing was written")
    write_boxes(found.boxes, found.empty, options.output, to=options.to)
    print(f"{options.output}: {len(found.boxes)} boxes of {found.boxes['image'].nunique()} images, as {options.to}")
    if options.to == "voc":
        print("Pixels are counted from 1, as in Pascal VOC's own files: read them with box_origin: 1.")
    for thing in found.lost:
        print(f"Not taken along: {thing}")
    return 1 if found.unwritten else 0


def _subject(options: argparse.Namespace) -> "Dataset":
    """Return what is to be converted: a data set's folder by its card, or else as `localizer init` would draft one."""
    if chosen := [option for option in given(options) if option in NOT_HERE]:
        raise UsageError(f"{', '.join(chosen)}: all boxes are converted as they are; leave the option out")
    return find_subject(
        options.annotations, options, evidence="whole", tell=lambda reason: print(f"read as {reason}", file=sys.stderr)
    )
