"""Inspecting a data set from its files to the verdict, with or without its images and an accepted version."""

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from localizer.data.annotations import read_boxes, read_columns
from localizer.data.canonical import with_edges
from localizer.data.card import Card, read_card_file
from localizer.data.drift import Comparison, compare
from localizer.data.probe import probe_images
from localizer.data.tables import Table
from localizer.data.unseen import facts_of_unseen
from localizer.data.verdict import Verdict


@dataclass(frozen=True)
class Subject:
    """What is to be inspected; `images` is None where nobody has them."""

    name: str
    card: Card
    annotations: Path
    images: Path | None


@dataclass(frozen=True)
class Tables:
    """What was read of a subject: a row a box with EDGES, a row an image, a row a column of the file."""

    boxes: Table
    images: Table
    columns: Table


def subject_of(folder: Path) -> Subject:
    """Return what data/NAME holds; ValueError names each wrong key of its card."""
    card = read_card_file(folder / "dataset.yaml")
    images = folder / "raw" / card.images
    return Subject(folder.name, card, folder / "raw" / card.annotations, images if images.is_dir() else None)


def read_tables(subject: Subject, *, cache: Path | None = None) -> Tables:
    """Return the tables of a subject, its images probed (`cache`: see `probe`); BadFileError if it can't be read."""
    card = subject.card
    boxes = read_boxes(card, subject.annotations, images=subject.images)
    if subject.images is None:
        images = facts_of_unseen(boxes, card)
    else:
        images = probe_images(subject.images, boxes["image"], cache=cache)
    return Tables(with_edges(boxes, images, card), images, read_columns(card, subject.annotations))


def inspect(
    subject: Subject,
    *,
    image_size: int,
    against: Subject | None = None,
    docs: Path | None = None,
    cache: Path | None = None,
) -> tuple[Verdict, Comparison | None]:
    """Return the verdict on a subject, and how it differs from the accepted one; see `expectations.validate`."""
    from localizer.data.expectations import validate  # ten CPU seconds, which a file that can't be read needn't pay

    tables = read_tables(subject, cache=cache)
    images = tables.images.astype(str)
    verdict = validate(tables.boxes, images, subject.card, columns=tables.columns, image_size=image_size, docs=docs)
    if against is None:
        return verdict, None
    # A YOLO file's image is looked up among those that are here.
    before = replace(against, images=against.images or subject.images)
    comparison = compare(tables.boxes, _boxes_of(before, like=tables.images))
    found = tuple(comparison.findings(subject.card.drift, source=subject.annotations.as_posix()))
    return replace(verdict, findings=(*verdict.findings, *found), passed=verdict.passed and not found), comparison


def _boxes_of(subject: Subject, *, like: Table) -> Table:
    """Return the accepted boxes, by the sizes of the images that are known now, or as annotated."""
    boxes = read_boxes(subject.card, subject.annotations, images=subject.images)
    stated = facts_of_unseen(boxes, subject.card)
    facts = pd.concat([like, stated]).drop_duplicates("image")
    return with_edges(boxes, facts, subject.card)
