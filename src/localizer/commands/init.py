"""`localizer init`: a data set's folder from a person's own annotations and images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from localizer.commands.annotation_options import FILES, ReadingOptions


@dataclass(frozen=True, kw_only=True)
class Options(ReadingOptions):
    name: Annotated[str, Argument(metavar="NAME", help="of the data set: its folder is data/NAME")]
    annotations: Annotated[Path, Option(metavar="PATH", help=FILES)]
    images: Annotated[Path, Option(metavar="DIR", help="the folder that the annotations' images are in")]


def run(options: Options) -> int:
    """Create data/NAME from annotations and images, and add the images to DVC.

    Example: localizer init mine --annotations boxes.csv --images photos/
    """
    from localizer.datasets.create import create_dataset, track, unused_columns
    from localizer.datasets.detection.propose import propose_config

    proposal = propose_config(options.name, options.annotations, options.choices(), images=options.images)
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
