"""Inspecting annotations from their files to the verdict, with or without images and an accepted version."""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from localizer.data.annotations import read_boxes
from localizer.data.canonical import with_edges
from localizer.data.drift import Comparison, compare
from localizer.data.reading import read_tables
from localizer.data.subject import Subject
from localizer.data.tables import Table
from localizer.data.unseen import facts_of_unseen
from localizer.data.verdict import Verdict


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
    verdict = validate(
        tables.boxes,
        tables.images.astype(str),
        subject.card,
        columns=tables.columns,
        image_size=image_size,
        card_path=subject.card_path,
        docs=docs,
    )
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
