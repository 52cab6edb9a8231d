"""Reads a data set's annotations and images into one canonical table and the images' facts."""

import shutil
import sys
from pathlib import Path
from typing import Annotated

import pandas as pd
from pydantic import Field

from localizer import config, tracking
from localizer.data.annotations import read_annotations
from localizer.data.canonical import with_edges
from localizer.data.card import DATA_SET_NAME, read_card
from localizer.data.probe import probe_images
from localizer.data.tables import write_table

ANNOTATIONS = Path("tables/annotations.csv")
IMAGES = Path("tables/images.csv")
CARD = Path("tables/dataset.yaml")


class PrepareParams(config.Record):
    """`dataset`: the NAME of data/NAME."""

    dataset: Annotated[str, Field(pattern=DATA_SET_NAME)]


def main() -> None:
    params = config.load("prepare", PrepareParams)
    with tracking.stage_run("prepare") as run:
        boxes, images = prepare(params.dataset)
        write_table(boxes, ANNOTATIONS)
        write_table(images, IMAGES)
        shutil.copyfile(Path("data", params.dataset, "dataset.yaml"), CARD)
        run.log_metrics({"rows": len(boxes), "images": len(images)})
        run.log_artifact(CARD)
        run.log_table(boxes, name=params.dataset, context="annotations")
        modes = ", ".join(f"{count} {mode or 'unreadable'}" for mode, count in images["mode"].value_counts().items())
        print(f"prepare: {params.dataset}: {len(boxes)} boxes, {len(images)} images ({modes})")


def prepare(name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the canonical table of boxes and the facts of images of data/NAME."""
    card = read_card(name)
    raw = Path("data", name, "raw")
    boxes = read_annotations(card, raw)
    if not (raw / card.images).is_dir():
        raise ValueError(f"{raw / card.images}: no such folder; `images` in data/{name}/dataset.yaml names it")
    images = probe_images(raw / card.images, boxes["image"])
    return with_edges(boxes, images, card), images


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"prepare: {error}")
