"""Reading a data set: its boxes, the facts of its images, and the columns of its file."""

from dataclasses import dataclass
from pathlib import Path

from localizer.data.annotations import read_boxes, read_columns
from localizer.data.canonical import with_edges
from localizer.data.probe import probe_images
from localizer.data.subject import Subject
from localizer.data.tables import Table
from localizer.data.unseen import facts_of_unseen


@dataclass(frozen=True)
class Tables:
    """What was read of a subject: a row a box with EDGES, a row an image, a row a column of the file."""

    boxes: Table
    images: Table
    columns: Table


def read_tables(subject: Subject, *, cache: Path | None = None) -> Tables:
    """Return the tables of a subject, its images probed (`cache`: see `probe`); BadFileError if it can't be read."""
    card = subject.card
    boxes = read_boxes(card, subject.annotations, images=subject.images)
    if subject.images is None:
        images = facts_of_unseen(boxes, card)
    else:
        images = probe_images(subject.images, boxes["image"], cache=cache)
    return Tables(with_edges(boxes, images, card), images, read_columns(card, subject.annotations))
