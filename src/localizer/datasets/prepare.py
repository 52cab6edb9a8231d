"""What the stage `prepare` makes: a data set's boxes, the metadata of its images, and the columns of its file."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from localizer.dataset import Dataset, DatasetConfig
from localizer.datasets.annotations import read_boxes, read_columns
from localizer.datasets.coordinates import with_edges
from localizer.datasets.image_sizes import first_sizes
from localizer.probing.metadata import ImageMetadata, probe_images
from localizer.tables import Table


@dataclass(frozen=True)
class Tables:
    """What was read of a subject: a row a box with EDGES, a row an image, a row a column of the file."""

    boxes: Table
    images: Table
    columns: Table


def read_tables(subject: Dataset, *, cache: Path | None = None) -> Tables:
    """Return the tables of a subject, its images probed (`cache`: see `probe`); BadFileError if it can't be read."""
    card = subject.config
    boxes = read_boxes(card, subject.annotations, images=subject.images)
    if subject.images is None:
        images = annotated_metadata(boxes, card)
    else:
        images = probe_images(subject.images, boxes["image"], cache=cache)
    return Tables(with_edges(boxes, images, card), images, read_columns(card, subject.annotations))


def annotated_metadata(annotations: Table, card: DatasetConfig) -> Table:
    """Return the table of `probe_images` for images that are not there: sizes as annotated, the rest empty.

    The path is the name, which is all there is to tell a person. An empty `exists` means that it is not known.
    A size that is not known is 0 by 0; it is 1 by 1 where boxes are shares, so that they can still be judged.
    """
    facts = list(ImageMetadata.__dataclass_fields__)
    sizes = first_sizes(annotations)
    sides = sizes[["width", "height"]].fillna(1 if card.box_units == "unit" else 0).astype(int)
    known = {"image": sizes["image"], "path": sizes["image"], "annotated": True, **sides}
    return pd.DataFrame(dict.fromkeys(facts, "") | known, columns=facts)
