"""The verdict on a data set: which rows are set aside and why, which are clean, and whether to go on."""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from localizer.data.annotations import COLUMNS
from localizer.data.card import Card
from localizer.data.findings import Finding, misread, of_file, tell, without_echoes
from localizer.data.rules import CARD, SIZES, Failure, Severity, name_some
from localizer.data.tables import EDGES, Table, write_table

TOLD = ["file", "line", "column", "rule", "severity", "got", "wanted", "fix"]
CLEAN = ["image", "path", "sha256", "label", "width", "height", *EDGES, "file", "line"]


@dataclass(frozen=True)
class Verdict:
    """`clean` has a row an image; `quarantine` has the rows set aside, as annotated, with their `reasons`."""

    findings: tuple[Finding, ...]
    clean: Table
    quarantine: Table
    rows: int
    images: int
    passed: bool

    def count(self, severity: Severity) -> int:
        """Return the number of findings of a severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def metrics(self) -> dict[str, int]:
        """Return the counts by name."""
        return {
            "clean_images": len(self.clean),
            "critical": self.count("critical"),
            "images": self.images,
            "rows": self.rows,
            "set_aside": len(self.quarantine),
            "warnings": self.count("warning"),
        }

    def worst(self, shown: int) -> list[Finding]:
        """Return the first `shown` findings: of the whole file first, then critical ones, then warnings."""
        return sorted(self.findings, key=lambda one: (one.severity, not one.is_of_file()))[:shown]


def judge(boxes: Table, images: Table, card: Card, *, of_boxes: list[Failure], of_images: list[Failure]) -> Verdict:
    """Return the verdict on the tables of `expectations`, from the rules that failed on them."""
    source = _common(boxes["file"])
    found = list(without_echoes(list(tell(boxes, of_boxes, whole=source))))
    spare = images.loc[images["annotated"] != "True", "path"]
    found += tell(images, of_images, whole=_common(spare.map(os.path.dirname)))
    found += misread(boxes, card, found, source=source)
    reasons = _reasons(boxes, found)
    clean = boxes[boxes["of_task"] & ~boxes.index.isin(reasons)]
    found += _shortage(boxes, card, reasons, clean=len(clean), source=source)
    return Verdict(
        findings=tuple(sorted(_with_card(found, source), key=_order)),
        clean=_clean(clean),
        quarantine=_quarantine(boxes, reasons),
        rows=len(boxes),
        images=len(images),
        passed=not any(_stops(finding, card) for finding in found),
    )


def write_reports(verdict: Verdict, *, findings: Path, quarantine: Path, metrics: Path) -> None:
    """Write the findings and the rows set aside as CSV, and the counts as JSON."""
    rows = [[getattr(finding, name) for name in TOLD] for finding in verdict.findings]
    write_table(pd.DataFrame(rows, columns=TOLD, dtype=object), findings)
    write_table(verdict.quarantine, quarantine)
    metrics.write_text(json.dumps(verdict.metrics(), indent=2) + "\n", encoding="utf-8")


def _with_card(found: list[Finding], source: str) -> list[Finding]:
    """Return the findings with the card's own path, where the annotations lie in a data set's raw/."""
    folder, inside, _ = source.partition("/raw/")
    path = f"{folder}/dataset.yaml" if inside else CARD
    return [replace(finding, fix=finding.fix.replace(CARD, path)) for finding in found]


def _order(finding: Finding) -> tuple[str, int, str, str, str]:
    return finding.file, finding.line or 0, finding.column, finding.rule, finding.got


def _common(paths: "pd.Series[str]") -> str:
    """Return the one file, or the folder that holds them all."""
    return Path(os.path.commonpath(set(paths))).as_posix() if len(paths) else ""


def _stops(finding: Finding, card: Card) -> bool:
    return finding.severity == "critical" and (finding.is_of_file() or card.on_bad_row == "fail")


def _reasons(boxes: Table, found: list[Finding]) -> dict[int, list[str]]:
    """Return why rows are set aside, by position: critical findings of row or image, or a surplus box."""
    reasons: dict[int, list[str]] = {}
    broken = {one.image for one in found if one.image is not None and one.severity == "critical"}
    for row in boxes.loc[boxes["image"].isin(broken) & boxes["judged"], "row"]:
        reasons.setdefault(row, []).append("image_undecodable")
    for finding in found:
        if finding.row is not None and (finding.severity == "critical" or finding.rule == "several_boxes"):
            reasons.setdefault(finding.row, []).append(finding.rule)
    return reasons


def _shortage(boxes: Table, card: Card, reasons: dict[int, list[str]], *, clean: int, source: str) -> list[Finding]:
    """Return the finding that too few rows are left, if so."""
    rows = int(boxes["of_task"].sum())
    wanted = "a clean row of the task"
    if rows == 0:
        there = name_some(sorted(set(boxes["label"].dropna())), most=10)
        got = f"label {card.label} not found; there are: {there or 'none'}"
        return [of_file("no_rows", source, got=got, wanted=wanted, fix=f"correct `label` in {CARD}")]
    if clean == 0:
        got = f"none of {rows}"
        return [of_file("no_rows", source, got=got, wanted=wanted, fix="see the other findings")]
    # A surplus box is bad only where the card calls it an error.
    bad = sum(card.multiple == "error" or set(names) != {"several_boxes"} for names in reasons.values())
    if card.on_bad_row == "fail" or bad <= card.max_bad_fraction * rows:
        return []
    got = f"{bad} bad rows of {rows}"
    wanted = f"at most {card.max_bad_fraction:.2%} of them"
    return [
        of_file(
            "too_many_bad_rows", source, got=got, wanted=wanted, fix=f"mend them, or raise max_bad_fraction in {CARD}"
        )
    ]


def _clean(rows: Table) -> Table:
    """Return the rows as split reads them, sorted by image."""
    sizes = {side: rows[f"image_{side}"].astype(int) for side in ("width", "height")}
    return rows.assign(**sizes)[CLEAN].sort_values("image", kind="stable").reset_index(drop=True)


def _quarantine(boxes: Table, reasons: dict[int, list[str]]) -> Table:
    """Return the rows that are set aside, as annotated, with their reasons."""
    given = [SIZES.get(name, name) for name in COLUMNS]  # in xyhw, width and height are the box's own
    rows = boxes.loc[boxes["row"].isin(reasons), [*given, *EDGES, "row"]]
    told = rows["row"].map({row: "; ".join(sorted(set(names))) for row, names in reasons.items()})
    rows = rows.rename(columns={text: side for side, text in SIZES.items()})
    return rows.assign(reasons=told).drop(columns="row").reset_index(drop=True)
