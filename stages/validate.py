"""Lets Great Expectations judge annotations and images; stops the pipeline on a critical finding."""

import sys
from pathlib import Path
from typing import Annotated

from pydantic import Field

from localizer import config, tracking
from localizer.dataset import DatasetConfig
from localizer.files import replace_text
from localizer.tables import read_table, write_table
from localizer.validation import summary
from localizer.validation.expectations import validate
from localizer.validation.inspection import dataset_yaml_of
from localizer.validation.result import write_reports
from localizer.validation.thumbnails import write_pictures

ANNOTATIONS = Path("tables/annotations.csv")
IMAGES = Path("tables/images.csv")
COLUMNS = Path("tables/columns.csv")
CARD = Path("tables/dataset.yaml")
CLEAN = Path("tables/clean.csv")
REPORTS = Path("reports/validate")
FINDINGS = REPORTS / "findings.csv"
QUARANTINE = REPORTS / "quarantine.csv"
METRICS = REPORTS / "metrics.json"
DOCS = Path(".localizer/data_docs")  # no output of DVC: its pages have the time in them
SUMMARY = REPORTS / "summary.md"
THUMBNAILS = REPORTS / "thumbnails"


class ValidateParams(config.Record):
    """`image_size` is the side that images are resized to, in pixels; `shown` is how many findings are printed."""

    image_size: Annotated[int, Field(ge=1)]
    shown: Annotated[int, Field(ge=0)]


def main() -> None:
    params = config.load("validate", ValidateParams)
    card = config.parse(DatasetConfig, config.read_yaml(CARD), where=str(CARD))
    CLEAN.unlink(missing_ok=True)
    with tracking.stage_run("validate") as run:
        verdict = validate(
            read_table(ANNOTATIONS),
            read_table(IMAGES),
            card,
            columns=read_table(COLUMNS),
            image_size=params.image_size,
            config_path=dataset_yaml_of(ANNOTATIONS),
            docs=DOCS,
        )
        write_reports(verdict, findings=FINDINGS, quarantine=QUARANTINE, metrics=METRICS)
        pictures = write_pictures(verdict, card, THUMBNAILS)
        replace_text(SUMMARY, summary.summary(verdict, card, name=card.title, pictures=pictures))
        run.log_metrics(verdict.metrics())
        for path in (FINDINGS, QUARANTINE, METRICS, SUMMARY, THUMBNAILS, DOCS):
            run.log_artifact(path)
        told = summary.in_short(verdict, shown=params.shown, summary=SUMMARY, findings=FINDINGS)
        print(told, file=sys.stdout if verdict.passed else sys.stderr)
        if not verdict.passed:
            raise SystemExit(1)
        write_table(verdict.clean, CLEAN)


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"validate: {error}")
