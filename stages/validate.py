"""Lets Great Expectations judge annotations and images; stops the pipeline on a critical finding."""

import sys
from pathlib import Path
from typing import Annotated

import pandas as pd
from pydantic import Field

from localizer import config, tracking
from localizer.dataset import Card
from localizer.files import replace_text
from localizer.tables import read_table, write_table
from localizer.validation import summary
from localizer.validation.expectations import validate
from localizer.validation.result import Verdict, write_reports
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
DOCS = REPORTS / "data_docs"
SUMMARY = REPORTS / "summary.md"
THUMBNAILS = REPORTS / "thumbnails"


class ValidateParams(config.Record):
    """`image_size` is the side that images are resized to, in pixels; `shown` is how many findings are printed."""

    image_size: Annotated[int, Field(ge=1)]
    shown: Annotated[int, Field(ge=0)]


def main() -> None:
    params = config.load("validate", ValidateParams)
    card = config.parse(Card, config.read_yaml(CARD), where=str(CARD))
    CLEAN.unlink(missing_ok=True)
    with tracking.stage_run("validate") as run:
        verdict = validate(
            read_table(ANNOTATIONS),
            read_table(IMAGES),
            card,
            columns=read_table(COLUMNS),
            image_size=params.image_size,
            card_path=card_of(ANNOTATIONS),
            docs=DOCS,
        )
        write_reports(verdict, findings=FINDINGS, quarantine=QUARANTINE, metrics=METRICS)
        write_summary(verdict, card)
        run.log_metrics(verdict.metrics())
        for path in (FINDINGS, QUARANTINE, METRICS, SUMMARY, THUMBNAILS, DOCS):
            run.log_artifact(path)
        print(in_short(verdict, shown=params.shown), file=sys.stdout if verdict.passed else sys.stderr)
        if not verdict.passed:
            raise SystemExit(1)
        write_table(verdict.clean, CLEAN)


def card_of(annotations: Path) -> Path:
    """Return the path of the card of the annotated data set, data/NAME, whose annotations lie in its raw/."""
    first = pd.read_csv(annotations, dtype=str, nrows=1)  # and no more: it is large, and validate reads it whole
    return Path(*Path(str(first["file"].iat[0])).parts[:2], "dataset.yaml")


def write_summary(verdict: Verdict, card: Card) -> None:
    """Write the Markdown summary, and its thumbnails where the card lets images be shown."""
    pictures = write_pictures(verdict, card, THUMBNAILS)
    replace_text(SUMMARY, summary.summary(verdict, card, name=card.title, pictures=pictures))


def in_short(verdict: Verdict, *, shown: int) -> str:
    """Return what the terminal gets: the counts in a line, or the worst findings and where the rest is."""
    counts = f"{verdict.count('critical')} critical findings, {verdict.count('warning')} warnings"
    if verdict.passed:
        clean = f"{len(verdict.clean)} clean images of {verdict.images}, {len(verdict.quarantine)} rows set aside"
        return f"validate: {clean}; {counts}: see {FINDINGS}"
    worst = "\n".join(str(finding) for finding in verdict.worst(shown))
    return f"{worst}\nvalidate: failed with {counts}; what to do: {SUMMARY}; all findings: {FINDINGS}"


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"validate: {error}")
