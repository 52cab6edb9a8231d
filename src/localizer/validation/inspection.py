"""Inspecting annotations from their files to the verdict, with or without images and an accepted version."""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from localizer.dataset import Dataset
from localizer.datasets.annotations import read_boxes
from localizer.datasets.coordinates import with_edges
from localizer.datasets.prepare import annotated_metadata, read_tables
from localizer.tables import Table
from localizer.validation.drift import Comparison, compare
from localizer.validation.result import Verdict


def inspect(
    subject: Dataset,
    *,
    image_size: int,
    against: Dataset | None = None,
    docs: Path | None = None,
    cache: Path | None = None,
) -> tuple[Verdict, Comparison | None]:
    """Return the verdict on a subject, and how it differs from the accepted one; see `expectations.validate`."""
    from localizer.validation.expectations import (
        validate,  # ten CPU seconds, which a file that can't be read needn't pay
    )

    tables = read_tables(subject, cache=cache)
    verdict = validate(
        tables.boxes,
        tables.images.astype(str),
        subject.config,
        columns=tables.columns,
        image_size=image_size,
        config_path=subject.config_path,
        docs=docs,
    )
    if against is None:
        return verdict, None
    # A YOLO file's image is looked up among those that are here.
    before = replace(against, images=against.images or subject.images)
    comparison = compare(tables.boxes, _boxes_of(before, like=tables.images))
    found = tuple(comparison.findings(subject.config.drift, source=subject.annotations.as_posix()))
    return replace(verdict, findings=(*verdict.findings, *found), passed=verdict.passed and not found), comparison


def _boxes_of(subject: Dataset, *, like: Table) -> Table:
    """Return the accepted boxes, by the sizes of the images that are known now, or as annotated."""
    boxes = read_boxes(subject.config, subject.annotations, images=subject.images)
    stated = annotated_metadata(boxes, subject.config)
    facts = pd.concat([like, stated]).drop_duplicates("image")
    return with_edges(boxes, facts, subject.config)


def dataset_yaml_of(annotations: Path) -> Path:
    """Return the path of the card of the annotated data set, data/NAME, whose annotations lie in its raw/."""
    first = pd.read_csv(annotations, dtype=str, nrows=1)  # and no more: it is large, and validate reads it whole
    return Path(*Path(str(first["file"].iat[0])).parts[:2], "dataset.yaml")
