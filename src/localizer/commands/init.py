"""`localizer init`: a data set's folder from a person's own annotations and images."""

import argparse
from pathlib import Path

from localizer.commands.annotation_options import add_reading_options, choices


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the data set: its folder is data/NAME")
    parser.add_argument(
        "--annotations",
        type=Path,
        required=True,
        help="a file or folder of annotations: docs/reference/formats.md",
    )
    parser.add_argument("--images", type=Path, required=True, help="the folder that the annotations' images are in")
    add_reading_options(parser)


def run(options: argparse.Namespace) -> int:
    """Create data/NAME from annotations and images, and add the images to DVC."""
    from localizer.datasets.create import create_dataset, track, unused_columns
    from localizer.datasets.detection.propose import propose_config

    proposal = propose_config(options.name, options.annotations, choices(options), images=options.images)
    config = proposal.config
    folder = create_dataset(options.name, config, annotations=options.annotations, images=options.images)
    tracked = track(folder, config)
    print(f"{folder}/dataset.yaml contains:", *proposal.reasons, sep="\n  ")
    if unused := unused_columns(config, options.annotations):
        print(f"Columns not used: {', '.join(unused)} (is one a --label-column, a --group-column or a --width-column?)")
    print(f"DVC tracks {' and '.join(map(str, tracked))}; git tracks the rest, where `git diff` shows changes.")
    print("Check the folder, commit it, and run the pipeline on it:")
    print(f"  git add {folder} && git commit -m 'Data set {options.name}'")
    print(f"  dvc exp run -S prepare.dataset={options.name}")
    return 0
