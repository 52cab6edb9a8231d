"""The tables of the stage `prepare`: a data set's boxes, the metadata of its images, and the columns of its file."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from localizer.dataset import Dataset, DatasetConfig
from localizer.datasets.annotations import check_any, read_annotations, read_columns
from localizer.datasets.coordinates import with_edges
from localizer.datasets.image_sizes import first_sizes
from localizer.probing.metadata import ImageMetadata, probe_images
from localizer.tables import Table


@dataclass(frozen=True)
class Tables:
    """One row per box, with EDGES; one per image, as `ImageMetadata`; one per column of the annotation file.

    left_out: what the annotations have that is not used, in words.
    """

    boxes: Table
    images: Table
    columns: Table
    left_out: tuple[str, ...] = ()


def read_tables(dataset: Dataset, *, cache: Path | None = None) -> Tables:
    """Return the tables of a data set; BadFileError if its annotations can't be read. cache: see `probe_images`."""
    config = dataset.config
    read = read_annotations(config, dataset.annotations, images=dataset.images)
    boxes = check_any(read.boxes, dataset.annotations)
    if dataset.images is None:
        images = annotated_metadata(boxes, config)
    else:
        images = probe_images(dataset.images, boxes["image"], cache=cache)
    columns = read_columns(config, dataset.annotations)
    return Tables(with_edges(boxes, images, config), images, columns, tuple(read.left_out()))


def annotated_metadata(boxes: Table, config: DatasetConfig) -> Table:
    """Return the table of `probe_images` without image files: sizes as annotated, the rest empty, unknown.

    The path is the image's name. An unknown size is 0 by 0; for boxes in shares of a side it is 1 by 1, so
    that the rules for boxes can still be checked.
    """
    columns = list(ImageMetadata.__dataclass_fields__)
    sizes = first_sizes(boxes)
    sides = sizes[["width", "height"]].fillna(0 if config.box_units == "pixel" else 1).astype(int)
    known = {"image": sizes["image"], "path": sizes["image"], "annotated": True, **sides}
    return pd.DataFrame(dict.fromkeys(columns, "") | known, columns=columns)
