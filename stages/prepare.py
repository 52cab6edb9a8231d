"""Reads a data set's annotations and images into canonical tables of boxes, images and columns."""

import sys
from pathlib import Path
from typing import Annotated

from pydantic import Field

from localizer import config, tracking
from localizer.dataset import DATASET_NAME, open_dataset
from localizer.datasets.prepare import Tables, read_tables
from localizer.files import replace_file
from localizer.tables import write_table

ANNOTATIONS = Path("tables/annotations.csv")
IMAGES = Path("tables/images.csv")
COLUMNS = Path("tables/columns.csv")
DATASET_CONFIG = Path("tables/dataset.yaml")


class PrepareParams(config.Record):
    """`dataset`: the NAME of data/NAME."""

    dataset: Annotated[str, Field(pattern=DATASET_NAME)]


def main() -> None:
    params = config.load("prepare", PrepareParams)
    with tracking.stage_run("prepare") as run:
        tables = prepare(params.dataset)
        for table, path in ((tables.boxes, ANNOTATIONS), (tables.images, IMAGES), (tables.columns, COLUMNS)):
            write_table(table, path)
        replace_file(DATASET_CONFIG, Path("data", params.dataset, "dataset.yaml").read_bytes())
        run.log_metrics({"rows": len(tables.boxes), "images": len(tables.images)})
        run.log_artifact(DATASET_CONFIG)
        run.log_table(tables.boxes, name=params.dataset, context="annotations")
        counts = tables.images["mode"].value_counts().items()
        modes = ", ".join(f"{count} {mode or 'unreadable'}" for mode, count in counts)
        print(f"prepare: {params.dataset}: {len(tables.boxes)} boxes, {len(tables.images)} images ({modes})")
        for content in tables.left_out:
            print(f"prepare: {params.dataset}: {content}")


def prepare(name: str) -> Tables:
    """Return the canonical tables of data/NAME; the metadata of its images is cached."""
    dataset = open_dataset(Path("data", name))
    if dataset.images is None:
        folder = Path("data", name, "raw", dataset.config.images)
        raise ValueError(f"{folder}: no such folder; check `images` in data/{name}/dataset.yaml")
    return read_tables(dataset, cache=tracking.main_checkout() / ".localizer")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"prepare: {error}")
