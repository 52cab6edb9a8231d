"""The result of validating a data set: findings, clean rows, rows set aside, and whether to go on."""

import json
import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from localizer.dataset import DatasetConfig
from localizer.datasets.annotations import line_or_element
from localizer.datasets.readers.row import Row
from localizer.files import replace_text
from localizer.findings import COLUMNS, Finding, Severity, count_of, critical, warning
from localizer.tables import EDGES, Table, write_table
from localizer.validation.failures import drop_consequences, to_findings
from localizer.validation.rules.encoding_checks import check_encoding
from localizer.validation.rules.label_typos import check_labels
from localizer.validation.rules.rule import DATASET_YAML, SIZES, Failure, abbreviate

CONTENT = ["sha256", "phash"]
CONFIG_OPTION = "a dataset.yaml (--config FILE)"
# How a fix names keys of dataset.yaml, and the options that stand for them.
OPTIONS = {
    rf"set (\w+): (\w+)(.*?) in {re.escape(DATASET_YAML)}": r"pass --\1 \2\3",
    rf"set `columns\.(\w+)` in {re.escape(DATASET_YAML)}": r"pass --\1_columns",
    rf"name it under `columns` in {re.escape(DATASET_YAML)}": "pass the option for it, as --label-column",
    rf"set `(\w+)` in {re.escape(DATASET_YAML)}": r"pass --\1",
    rf"correct `(\w+)` in {re.escape(DATASET_YAML)}": r"correct --\1",
    rf"`(\w+)` of {re.escape(DATASET_YAML)}": r"--\1",
}
CLEAN = ["image", "path", *CONTENT, "label", "group", "given_split", "width", "height", *EDGES, "file", "line"]


@dataclass(frozen=True)
class ValidationResult:
    """`clean` has one row per image; `quarantine` the rows set aside, as annotated, with their `reasons`.

    boxes: the table of `box_table`, to which the `row` of findings refers.
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

    def ranked(self) -> list[Finding]:
        """Return the findings by importance: the encoding of the file, then critical ones, then warnings."""

        def rank(finding: Finding) -> tuple[bool, Severity, bool]:
            explains = finding.rule.startswith("read_as_") or finding.rule in ("unit_coordinates", "pixel_coordinates")
            return not explains, finding.severity, not finding.is_of_file() or finding.rule == "no_rows"

        return sorted(self.findings, key=rank)


def build_result(
    tables: Mapping[str, Table],
    failures: Mapping[str, Sequence[Failure]],
    config: DatasetConfig,
    *,
    config_path: Path | None = None,
) -> ValidationResult:
    """Return the result for the tables of boxes, images and columns, and the rules that failed on each."""
    boxes, images = tables["boxes"], tables["images"]
    source = _common_path(boxes["file"].unique())
    folders = {path.rpartition("/")[0] for path in images.loc[images["exists"] == "True", "path"]}
    findings = drop_consequences(list(to_findings(boxes, failures.get("boxes", ()), source=source)))
    findings += to_findings(images, failures.get("images", ()), source=_common_path(folders) or source)
    findings += to_findings(tables["columns"], failures.get("columns", ()), source=source)
    findings += check_encoding(boxes, config, findings, source=source)
    findings += check_labels(boxes, config, source=source)
    reasons = _reasons(boxes, findings)
    clean = boxes[boxes["of_task"] & ~boxes.index.isin(reasons)]
    findings += _check_counts(boxes, images, config, reasons, clean=len(clean), source=source)
    failing = [finding for finding in findings if finding.severity == "critical"]
    return ValidationResult(
        findings=tuple(sorted(_with_config_path(findings, config_path), key=_position)),
        clean=_clean(clean, images),
        quarantine=_quarantine(boxes, reasons),
        boxes=boxes,
        images=len(images),
        passed=not any(finding.is_of_file() or config.on_bad_row == "fail" for finding in failing),
    )


def write_reports(result: ValidationResult, *, findings: Path, quarantine: Path, metrics: Path) -> None:
    """Write the findings and the rows set aside as CSV, and the counts as JSON."""
    write_findings(result.findings, findings)
    write_table(result.quarantine, quarantine)
    replace_text(metrics, json.dumps(result.metrics(), indent=2) + "\n")


def write_findings(findings: Sequence[Finding], path: Path) -> None:
    """Write findings as CSV, one row each."""
    rows = [[getattr(finding, name) for name in COLUMNS] for finding in findings]
    write_table(pd.DataFrame(rows, columns=list(COLUMNS), dtype=object), path)


def _with_config_path(findings: list[Finding], config_path: Path | None) -> Iterator[Finding]:
    """Yield the findings with fixes for the data set's own dataset.yaml, or without one for the command's options."""
    for finding in findings:
        fix = finding.fix if config_path else _for_the_command(finding.fix)
        yield replace(finding, fix=fix.replace(DATASET_YAML, config_path.as_posix() if config_path else CONFIG_OPTION))


def _for_the_command(fix: str) -> str:
    """Return a fix with options in place of keys: `set box_units: unit in data/NAME/dataset.yaml` is `pass …`."""
    for pattern, option in OPTIONS.items():
        fix = re.sub(pattern, option, fix)
    return re.sub(r"--\w+", lambda found: found[0].replace("_", "-"), fix)


def _position(finding: Finding) -> tuple[str, int, int, str, str, str]:
    row = -1 if finding.row is None else finding.row
    return finding.file, finding.line or 0, row, finding.column, finding.rule, finding.got


def _common_path(paths: Collection[str]) -> str:
    """Return the single file, or the folder that holds them all."""
    return Path(os.path.commonpath(paths)).as_posix() if len(paths) else ""


def _reasons(boxes: Table, findings: list[Finding]) -> dict[int, list[str]]:
    """Return why rows are set aside, by position: critical findings of row or image, or a surplus box."""
    reasons: defaultdict[int, list[str]] = defaultdict(list)
    failing = [finding for finding in findings if finding.severity == "critical"]
    bad_images = {finding.image: finding.rule for finding in failing if finding.image is not None}
    for row in boxes.loc[boxes["image"].isin(bad_images.keys()) & boxes["checked"], "row"]:
        reasons[row].append(bad_images[str(boxes["image"].iat[row])])
    for finding in findings:
        if finding.row is not None and (finding.severity == "critical" or finding.rule == "several_boxes"):
            reasons[finding.row].append(finding.rule)
    return dict(reasons)


def _check_counts(
    boxes: Table, images: Table, config: DatasetConfig, reasons: dict[int, list[str]], *, clean: int, source: str
) -> Iterator[Finding]:
    """Yield findings if there are no image files, no clean rows, or too many bad ones."""
    if not images["exists"].notna().any():
        got, fix = "none: their rules were not checked", "fetch them, or pass --images DIR"
        yield warning(source, "images_not_checked", expected="image files", got=got, fix=fix)
    rows = int(boxes["of_task"].sum())
    if rows == 0:
        labels = abbreviate(sorted(set(boxes["label"].dropna())), most=10)
        expected, fix = f"a row labeled {config.label!r}", f"correct `label` in {DATASET_YAML}"
        yield critical(source, "no_rows", expected=expected, got=f"only {labels or 'rows without a label'}", fix=fix)
    elif clean == 0:
        expected, fix = "at least one clean row", "correct what the other findings name"
        yield critical(source, "no_rows", expected=expected, got=f"none among {rows}", fix=fix)
    # A surplus box is bad only where the config makes it an error.
    bad = sum(config.multiple == "error" or set(rules) != {"several_boxes"} for rules in reasons.values())
    allowed = max(1, int(config.max_bad_fraction * rows + 1e-9))  # 0.29 * 100 is a little below 29
    if clean and config.on_bad_row != "fail" and bad > allowed:
        expected = f"at most {count_of(allowed, 'bad row')}: {config.max_bad_fraction:.2%} of all, or one"
        got, fix = f"{bad} of {rows}", f"correct them, or raise `max_bad_fraction` in {DATASET_YAML}"
        yield critical(source, "too_many_bad_rows", expected=expected, got=got, fix=fix)


def _clean(rows: Table, images: Table) -> Table:
    """Return the rows as split reads them, sorted by image."""
    sizes = {side: rows[f"image_{side}"].astype("Int64") for side in ("width", "height")}  # NA without image files
    rows = rows.assign(**sizes, line=line_or_element(rows))[[name for name in CLEAN if name not in CONTENT]]
    rows = rows.sort_values("image", kind="stable")
    content = images[["image", *CONTENT]].fillna(dict.fromkeys(CONTENT, ""))
    return rows.merge(content, on="image", how="left", validate="many_to_one")[CLEAN]


def _quarantine(boxes: Table, reasons: dict[int, list[str]]) -> Table:
    """Return the rows that are set aside, as annotated, with their reasons."""
    annotated = [SIZES.get(name, name) for name in Row._fields]  # in xyhw, width and height are the box's own
    rows = boxes.loc[boxes["row"].isin(reasons), [*annotated, *EDGES, "row"]]
    texts = rows["row"].map({row: "; ".join(sorted(set(rules))) for row, rules in reasons.items()})
    rows = rows.rename(columns={text: side for side, text in SIZES.items()})
    return rows.assign(reasons=texts).drop(columns="row").reset_index(drop=True)
