"""Lets Great Expectations judge annotations and images; stops the pipeline on a critical finding."""

import sys
from pathlib import Path
from typing import Annotated

from pydantic import Field

from localizer import config, tracking
from localizer.data.card import Card
from localizer.data.expectations import validate
from localizer.data.tables import read_table, write_table
from localizer.data.verdict import Verdict, write_reports

ANNOTATIONS = Path("tables/annotations.csv")
IMAGES = Path("tables/images.csv")
CARD = Path("tables/dataset.yaml")
CLEAN = Path("tables/clean.csv")
REPORTS = Path("reports/validate")
FINDINGS = REPORTS / "findings.csv"
QUARANTINE = REPORTS / "quarantine.csv"
METRICS = REPORTS / "metrics.json"
DOCS = REPORTS / "data_docs"


class ValidateParams(config.Record):
    """`smallest_side` is a share of the image's side; `shown` is how many findings the terminal gets."""

    smallest_side: Annotated[float, Field(ge=0, le=1)]
    shown: Annotated[int, Field(ge=0)]


def main() -> None:
    params = config.load("validate", ValidateParams)
    card = config.parse(Card, config.read_yaml(CARD), where=str(CARD))
    CLEAN.unlink(missing_ok=True)
    with tracking.stage_run("validate") as run:
        annotations, images = read_table(ANNOTATIONS), read_table(IMAGES)
        verdict = validate(annotations, images, card, smallest_side=params.smallest_side, docs=DOCS)
        write_reports(verdict, findings=FINDINGS, quarantine=QUARANTINE, metrics=METRICS)
        run.log_metrics(verdict.metrics())
        for path in (FINDINGS, QUARANTINE, METRICS, DOCS):
            run.log_artifact(path)
        print(summary(verdict, shown=params.shown), file=sys.stdout if verdict.passed else sys.stderr)
        if not verdict.passed:
            raise SystemExit(1)
        write_table(verdict.clean, CLEAN)


def summary(verdict: Verdict, *, shown: int) -> str:
    """Return what the terminal gets: the counts in a line, or the worst findings and where the rest is."""
    counts = f"{verdict.count('critical')} critical findings, {verdict.count('warning')} warnings"
    if verdict.passed:
        clean = f"{len(verdict.clean)} clean images of {verdict.images}, {len(verdict.quarantine)} rows set aside"
        return f"validate: {clean}; {counts}: see {FINDINGS}"
    worst = "\n".join(str(finding) for finding in verdict.worst(shown))
    return f"{worst}\nvalidate: failed with {counts}; all are in {FINDINGS}, by rule in {DOCS / 'index.html'}"


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"validate: {error}")
