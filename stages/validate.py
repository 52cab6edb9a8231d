"""Validates annotations and images with Great Expectations; stops the pipeline on a critical finding."""

import sys
from pathlib import Path
from typing import Annotated

import pandas as pd
from pydantic import Field

from localizer import config, tracking
from localizer.dataset import read_config_file
from localizer.datasets.prepare import Tables
from localizer.files import replace_text
from localizer.tables import read_table, write_table
from localizer.validation.result import write_reports
from localizer.validation.summary import render_summary, render_terminal
from localizer.validation.thumbnails import write_thumbnails
from localizer.validation.validate import validate

ANNOTATIONS = Path("tables/annotations.csv")
IMAGES = Path("tables/images.csv")
COLUMNS = Path("tables/columns.csv")
DATASET_CONFIG = Path("tables/dataset.yaml")
CLEAN = Path("tables/clean.csv")
REPORTS = Path("reports/validate")
FINDINGS = REPORTS / "findings.csv"
QUARANTINE = REPORTS / "quarantine.csv"
METRICS = REPORTS / "metrics.json"
DOCS = Path(".localizer/data_docs")  # no output of DVC: its pages contain the time
SUMMARY = REPORTS / "summary.md"
THUMBNAILS = REPORTS / "thumbnails"


class ValidateParams(config.Record):
    """`image_size`: the side to which images are resized, in pixels; `shown`: places printed of each rule."""

    image_size: Annotated[int, Field(ge=1)]
    shown: Annotated[int, Field(ge=0)]


def main() -> None:
    params = config.load("validate", ValidateParams)
    dataset_config = read_config_file(DATASET_CONFIG)
    CLEAN.unlink(missing_ok=True)
    with tracking.stage_run("validate") as run:
        result = validate(
            Tables(read_table(ANNOTATIONS), read_table(IMAGES), read_table(COLUMNS)),
            dataset_config,
            image_size=params.image_size,
            config_path=source_config(),
            docs=DOCS,
        )
        write_reports(result, findings=FINDINGS, quarantine=QUARANTINE, metrics=METRICS)
        thumbnails = write_thumbnails(result, dataset_config, THUMBNAILS)
        replace_text(SUMMARY, render_summary(result, dataset_config, name=dataset_config.title, thumbnails=thumbnails))
        run.log_metrics(result.metrics())
        for path in (FINDINGS, QUARANTINE, METRICS, SUMMARY, THUMBNAILS, DOCS):
            run.log_artifact(path)
        text = render_terminal(result, shown=params.shown, summary=SUMMARY, findings=FINDINGS)
        print(text, file=sys.stdout if result.passed else sys.stderr)
        if not result.passed:
            raise SystemExit(1)
        write_table(result.clean, CLEAN)


def source_config() -> Path:
    """Return the data set's own data/NAME/dataset.yaml, of which prepare made a copy; data/NAME/raw/ is annotated."""
    first = pd.read_csv(ANNOTATIONS, dtype=str, nrows=1)  # the table is large, and validate reads it completely
    return Path(*Path(str(first["file"].iat[0])).parts[:2], "dataset.yaml")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"validate: {error}")
