"""Assigns each image to one split: train, validation, calibration (of margin and confidence) or test."""

import json
import sys
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from localizer import config, tracking
from localizer.dataset import read_config_file
from localizer.files import replace_text
from localizer.probing.duplicates import cluster_images
from localizer.splitting import report
from localizer.splitting.assignment import Fold, Method, fold_fractions, split_images
from localizer.splitting.cluster_sheets import draw_clusters
from localizer.tables import EDGES, SPLITS, read_table, write_table

CLEAN = Path("tables/clean.csv")
DATASET_CONFIG = Path("tables/dataset.yaml")
SPLIT = Path("tables/split.csv")
METRICS = Path("reports/split/metrics.json")
SIZES = Path("reports/split/box_size.csv")
REPORT = Path("reports/split/report.md")
CLUSTERS = Path("reports/split/clusters.csv")
SHEETS = Path("reports/split/clusters")

Fraction = Annotated[float, Field(ge=0, lt=1)]


class SplitParams(config.Record):
    """Fractions of the images, which sum to 1; `seed` keys the hash or the shuffle.

    method: with `given`, the fractions are for images that the annotations assign to no split, and for the splits that
    they lack. folds: if not 0, `fold` is the number of the fold that is the test split; the fractions share out the
    others.
    """

    method: Method
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    train: Annotated[float, Field(gt=0, lt=1)]
    validation: Annotated[float, Field(gt=0, lt=1)]
    calibration: Fraction
    test: Annotated[float, Field(gt=0, lt=1)]
    folds: Annotated[int, Field(ge=0)]
    fold: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _sums_to_one(self) -> Self:
        total = sum(getattr(self, split) for split in SPLITS)
        if abs(total - 1) > 1e-9:
            raise ValueError(f"train, validation, calibration and test must sum to 1, not {total:g}")
        return self

    @model_validator(mode="after")
    def _has_that_fold(self) -> Self:
        if self.folds == 1:
            raise ValueError("folds: expected 2 or more, or 0 for none, got 1")
        if self.fold >= max(1, self.folds):
            highest = f"0 to {self.folds - 1}" if self.folds else "0 without folds"
            raise ValueError(f"fold: expected {highest}, got {self.fold}; set split.folds to the number of folds")
        return self

    @model_validator(mode="after")
    def _has_folds_of_its_own(self) -> Self:
        if self.folds and self.method == "given":
            raise ValueError(
                f"folds: expected 0 with method given, which has one test split, got {self.folds}; set split.method to "
                "hash or stratified"
            )
        return self

    @property
    def fractions(self) -> dict[str, float]:
        """Return the fraction of each split, of the fold if there are folds."""
        fractions = {split: getattr(self, split) for split in SPLITS}
        return fold_fractions(fractions, self.folds) if self.folds else fractions

    @property
    def test_fold(self) -> Fold | None:
        return Fold(self.fold, self.folds) if self.folds else None


def main() -> None:
    params = config.load("split", SplitParams)
    show_images = read_config_file(DATASET_CONFIG).show_images
    with tracking.stage_run("split") as run:
        clean = read_table(CLEAN, numbers=["width", "height", *EDGES])
        clusters = cluster_images(clean)
        images = split_images(
            clean,
            clusters.names,
            method=params.method,
            fractions=params.fractions,
            seed=params.seed,
            fold=params.test_fold,
        )
        differences = report.measure_differences(images)
        warnings = report.split_warnings(images, differences, None if params.method == "given" else params.fractions)
        metrics = report.split_metrics(images, differences, warnings)
        table = report.cluster_table(images, clusters.links)
        write_table(images.drop(columns="given_split"), SPLIT)  # whose bytes do not depend on it
        write_table(report.size_histogram(images), SIZES)
        write_table(table, CLUSTERS)
        replace_text(METRICS, json.dumps(metrics, indent=2) + "\n")
        draw_clusters(images, table if show_images else table[:0], SHEETS)
        sheets = SHEETS.relative_to(REPORT.parent) if show_images else None
        replace_text(REPORT, report.render_report(metrics, table, warnings, sheets=sheets))
        run.log_metrics(config.flatten(metrics))
        for path in (SPLIT, SIZES, METRICS, REPORT, CLUSTERS, SHEETS):
            run.log_artifact(path)
        print(report.render_terminal(metrics, warnings, report=REPORT))


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"split: {error}")
