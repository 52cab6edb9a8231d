"""The verdict on a data set: which rows are set aside and why, which are clean, and whether to go on."""

import json
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from localizer.dataset import DatasetConfig
from localizer.datasets.annotations import line_or_element
from localizer.datasets.readers.row import Row
from localizer.files import replace_text
from localizer.findings import COLUMNS, Finding, Severity
from localizer.tables import EDGES, Table, write_table
from localizer.validation.failures import tell, without_echoes
from localizer.validation.rules.encoding_checks import doubts, file_finding
from localizer.validation.rules.label_typos import label_doubts
from localizer.validation.rules.rule import CARD, SIZES, Failure, name_some

CONTENT = ["sha256", "phash"]
CLEAN = ["image", "path", *CONTENT, "label", "group", "width", "height", *EDGES, "file", "line"]


@dataclass(frozen=True)
class Verdict:
    """`clean` has a row an image; `quarantine` has the rows set aside, as annotated, with their `reasons`.

    boxes: the table of `joined`, whose rows the findings name.
    """

    findings: tuple[Finding, ...]
    clean: Table
    quarantine: Table
    boxes: Table
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
            "rows": len(self.boxes),
            "set_aside": len(self.quarantine),
            "warnings": self.count("warning"),
        }

    def worst(self, shown: int) -> list[Finding]:
        """Return the first `shown` findings: how the file is read first, then critical ones, then warnings."""
        return sorted(self.findings, key=_urgency)[:shown]


@dataclass(frozen=True)
class Examined:
    """A table of `joined`, and the rules that failed on it."""

    table: Table
    failures: list[Failure]


def judge(
    boxes: Examined, images: Examined, columns: Examined, *, card: DatasetConfig, config_path: Path | None = None
) -> Verdict:
    """Return the verdict on a data set."""
    rows, pictures = boxes.table, images.table
    source = _common(rows["file"].unique())
    found = list(without_echoes(list(tell(rows, boxes.failures, whole=source))))
    folders = {path.rpartition("/")[0] for path in pictures.loc[pictures["exists"] == "True", "path"]}
    found += tell(pictures, images.failures, whole=_common(folders) or source)
    found += tell(columns.table, columns.failures, whole=source)
    found += doubts(rows, card, found, source=source)
    found += [*label_doubts(rows, card, source=source), *_unseen(pictures, source=source)]
    reasons = _reasons(rows, found)
    clean = rows[rows["of_task"] & ~rows.index.isin(reasons)]
    found += _shortage(rows, card, reasons, clean=len(clean), source=source)
    return Verdict(
        findings=tuple(sorted(_with_card(found, config_path), key=_order)),
        clean=_clean(clean, pictures),
        quarantine=_quarantine(rows, reasons),
        boxes=rows,
        images=len(pictures),
        passed=not any(_stops(finding, card) for finding in found),
    )


def write_reports(verdict: Verdict, *, findings: Path, quarantine: Path, metrics: Path) -> None:
    """Write the findings and the rows set aside as CSV, and the counts as JSON."""
    write_findings(verdict.findings, findings)
    write_table(verdict.quarantine, quarantine)
    replace_text(metrics, json.dumps(verdict.metrics(), indent=2) + "\n")


def write_findings(found: Sequence[Finding], path: Path) -> None:
    """Write findings as CSV, a row each."""
    rows = [[getattr(finding, name) for name in COLUMNS] for finding in found]
    write_table(pd.DataFrame(rows, columns=list(COLUMNS), dtype=object), path)


def _with_card(found: list[Finding], config_path: Path | None) -> list[Finding]:
    """Return the findings with the card's own path; without a card, with the command's options."""
    if config_path:
        return [replace(finding, fix=finding.fix.replace(CARD, config_path.as_posix())) for finding in found]
    return [replace(finding, fix=_by_option(finding.fix)) for finding in found]


def _by_option(fix: str) -> str:
    """Return what to do without a card: `set box_units: unit in data/NAME/dataset.yaml` is `--box-units unit`."""
    option = re.compile(rf"set `?(\w+): (\w+)`?(.*?) in {re.escape(CARD)}")
    fix = option.sub(lambda found: f"say --{found[1].replace('_', '-')} {found[2]}{found[3]}", fix)
    return fix.replace(CARD, "the card (--card), or the option of that name")


def _order(finding: Finding) -> tuple[str, int, int, str, str, str]:
    row = -1 if finding.row is None else finding.row
    return finding.file, finding.line or 0, row, finding.column, finding.rule, finding.got


def _urgency(finding: Finding) -> tuple[bool, str, bool]:
    explains = finding.rule.startswith("read_as_") or finding.rule in ("unit_coordinates", "pixel_coordinates")
    return not explains, finding.severity, not finding.is_of_file() or finding.rule == "no_rows"


def _common(paths: Collection[str]) -> str:
    """Return the one file, or the folder that holds them all."""
    return Path(os.path.commonpath(paths)).as_posix() if len(paths) else ""


def _stops(finding: Finding, card: DatasetConfig) -> bool:
    return finding.severity == "critical" and (finding.is_of_file() or card.on_bad_row == "fail")


def _reasons(boxes: Table, found: list[Finding]) -> dict[int, list[str]]:
    """Return why rows are set aside, by position: critical findings of row or image, or a surplus box."""
    reasons: dict[int, list[str]] = {}
    broken = {one.image: one.rule for one in found if one.image is not None and one.severity == "critical"}
    for row in boxes.loc[boxes["image"].isin(broken.keys()) & boxes["judged"], "row"]:
        reasons.setdefault(row, []).append(broken[str(boxes["image"].iat[row])])
    for finding in found:
        if finding.row is not None and (finding.severity == "critical" or finding.rule == "several_boxes"):
            reasons.setdefault(finding.row, []).append(finding.rule)
    return reasons


def _unseen(pictures: Table, *, source: str) -> list[Finding]:
    """Return the finding that nobody looked at the images, if so."""
    if pictures["exists"].notna().any():
        return []
    told = {
        "got": "no image files, so no rule for them was run",
        "expected": "the images",
        "fix": "fetch them, or say --images DIR",
    }
    return [file_finding("images_not_checked", source, severity="warning", **told)]


def _shortage(
    boxes: Table, card: DatasetConfig, reasons: dict[int, list[str]], *, clean: int, source: str
) -> list[Finding]:
    """Return the finding that too few rows are left, if so."""
    rows = int(boxes["of_task"].sum())
    expected = "a clean row of the task"
    if rows == 0:
        there = name_some(sorted(set(boxes["label"].dropna())), most=10)
        got = f"label {card.label} not found; there are: {there or 'none'}"
        return [file_finding("no_rows", source, got=got, expected=expected, fix=f"correct `label` in {CARD}")]
    if clean == 0:
        got = f"none of {rows}"
        return [file_finding("no_rows", source, got=got, expected=expected, fix="see the other findings")]
    # A surplus box is bad only where the card calls it an error.
    bad = sum(card.multiple == "error" or set(names) != {"several_boxes"} for names in reasons.values())
    if card.on_bad_row == "fail" or bad <= card.max_bad_fraction * rows:
        return []
    got = f"{bad} of {rows} rows bad"
    expected = f"at most {card.max_bad_fraction:.2%} of them"
    return [
        file_finding(
            "too_many_bad_rows",
            source,
            got=got,
            expected=expected,
            fix=f"mend them, or raise max_bad_fraction in {CARD}",
        )
    ]


def _clean(rows: Table, pictures: Table) -> Table:
    """Return the rows as split reads them, sorted by image."""
    sizes = {side: rows[f"image_{side}"].astype("Int64") for side in ("width", "height")}  # NA if not looked at
    rows = rows.assign(**sizes, line=line_or_element(rows))[
        [name for name in CLEAN if name not in CONTENT]
    ].sort_values("image", kind="stable")
    content = pictures[["image", *CONTENT]].fillna(dict.fromkeys(CONTENT, ""))
    return rows.merge(content, on="image", how="left", validate="many_to_one")[CLEAN]


def _quarantine(boxes: Table, reasons: dict[int, list[str]]) -> Table:
    """Return the rows that are set aside, as annotated, with their reasons."""
    given = [SIZES.get(name, name) for name in Row._fields]  # in xyhw, width and height are the box's own
    rows = boxes.loc[boxes["row"].isin(reasons), [*given, *EDGES, "row"]]
    told = rows["row"].map({row: "; ".join(sorted(set(names))) for row, names in reasons.items()})
    rows = rows.rename(columns={text: side for side, text in SIZES.items()})
    return rows.assign(reasons=told).drop(columns="row").reset_index(drop=True)
