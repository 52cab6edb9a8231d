"""Validation of a data set: from its files, or the tables of prepare, to the result."""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from localizer.dataset import Dataset, DatasetConfig
from localizer.datasets.annotations import read_boxes
from localizer.datasets.coordinates import with_edges
from localizer.datasets.prepare import Tables, annotated_metadata, read_tables
from localizer.tables import Table
from localizer.validation.drift import DriftReport, measure_drift
from localizer.validation.features import box_table, column_table, image_table
from localizer.validation.result import ValidationResult, build_result
from localizer.validation.rules.box_rules import box_rules
from localizer.validation.rules.image_rules import COLUMN_RULES, IMAGE_RULES


def validate(
    tables: Tables,
    config: DatasetConfig,
    *,
    image_size: int,
    config_path: Path | None = None,
    docs: Path | None = None,
) -> ValidationResult:
    """Return the result of checking a data set, and write Data Docs into the folder `docs`, which is replaced.

    tables: as prepare writes them, images as text. image_size: the side, in pixels, to which images are resized.
    config_path: named by the fixes of findings.
    """
    from localizer.validation.expectations import run_expectations  # takes ten CPU seconds to import

    boxes = box_table(tables.boxes, tables.images, config)
    # In the order in which they are checked: the one that takes the most memory comes first.
    features = {"images": image_table(tables.images, boxes), "boxes": boxes, "columns": column_table(tables.columns)}
    del tables  # a third of the memory, unless the caller keeps them
    rules = {"images": IMAGE_RULES, "boxes": box_rules(config, image_size=image_size), "columns": COLUMN_RULES}
    failures = run_expectations(features, rules, docs=docs)
    return build_result(features, failures, config, config_path=config_path)


def validate_dataset(
    dataset: Dataset,
    *,
    image_size: int,
    against: Dataset | None = None,
    docs: Path | None = None,
    cache: Path | None = None,
) -> tuple[ValidationResult, DriftReport | None]:
    """Return the result for a data set, and its drift from accepted annotations; see `validate`, `read_tables`."""
    tables = read_tables(dataset, cache=cache)
    result = validate(
        replace(tables, images=tables.images.astype(str)),
        dataset.config,
        image_size=image_size,
        config_path=dataset.config_path,
        docs=docs,
    )
    if against is None:
        return result, None
    # The image of a YOLO file is found among those of the new data set.
    accepted = replace(against, images=against.images or dataset.images)
    drift = measure_drift(tables.boxes, _accepted_boxes(accepted, images=tables.images))
    beyond = tuple(drift.findings(dataset.config.drift, source=dataset.annotations.as_posix()))
    return replace(result, findings=(*result.findings, *beyond), passed=result.passed and not beyond), drift


def _accepted_boxes(accepted: Dataset, *, images: Table) -> Table:
    """Return the accepted boxes, with edges by the sizes of the present images, else as annotated."""
    boxes = read_boxes(accepted.config, accepted.annotations, images=accepted.images)
    metadata = pd.concat([images, annotated_metadata(boxes, accepted.config)]).drop_duplicates("image")
    return with_edges(boxes, metadata, accepted.config)
