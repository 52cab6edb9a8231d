"""The result from rules that failed, without Great Expectations: failures are made by hand."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from localizer.dataset import DatasetConfig
from localizer.findings import Finding
from localizer.validation.result import ValidationResult, build_result, write_reports
from localizer.validation.rules.rule import Expectation, Failure, Rule


def voc_config(**changed: object) -> DatasetConfig:
    values = {"title": "mine", "format": "voc", "annotations": "boxes", "images": "images"}
    return DatasetConfig.model_validate(values | changed)


def box_frame(labels: list[str]) -> pd.DataFrame:
    """Return the columns of `box_table` that a result needs, from line 2 on."""
    count = len(labels)
    same: dict[str, Any] = {
        "xmin_px": 1.0,
        "ymin_px": 1.0,
        "xmax_px": 9.0,
        "ymax_px": 9.0,
        "image_width": 10.0,
        "image_height": 10.0,
    }
    same |= dict.fromkeys(["xmin", "ymin", "xmax", "ymax", "largest_value"], 5.0)
    same |= dict.fromkeys(["element", "group", "given_split"], "")
    same |= dict.fromkeys(["box_1", "box_2", "box_3", "box_4", "annotated_width_text", "annotated_height_text"], "1")
    frame = pd.DataFrame({"row": range(count), "line": [str(i + 2) for i in range(count)], "label": labels})
    frame["image"] = [f"{i}.jpg" for i in range(count)]
    return frame.assign(file="boxes.csv", path=frame["image"], **same)


def image_frame(boxes: pd.DataFrame) -> pd.DataFrame:
    facts: dict[str, Any] = {
        "annotated": "True",
        "exists": "True",
        "line": "",
        "checked": True,
        "file": boxes["path"],
        "problem": "cut",
        "sha256": boxes["image"],
        "phash": "",
    }
    return boxes[["row", "image", "path"]].assign(**facts)


def rule(name: str, *, scope: str = "row") -> Rule:
    texts = {"got": "x", "expected": "y", "fix": "z"}
    return Rule(name, "critical", scope, Expectation("", {}), **texts)  # type: ignore[arg-type]


def verdict_of(
    bad_rows: tuple[int, ...],
    *,
    config: DatasetConfig,
    labels: list[str] | None = None,
    bad_images: tuple[int, ...] = (),
) -> ValidationResult:
    boxes = box_frame(labels or ["cat"] * 4)
    boxes["of_task"] = boxes["checked"] = True if config.label is None else boxes["label"] == config.label
    of_boxes = [Failure(rule("value_missing"), bad_rows)] if bad_rows else []
    of_images = [Failure(rule("image_undecodable", scope="image"), bad_images)] if bad_images else []
    columns = pd.DataFrame(columns=["file", "line", "column"])
    tables = {"boxes": boxes, "images": image_frame(boxes), "columns": columns}
    return build_result(tables, {"boxes": of_boxes, "images": of_images}, config)


def test_without_a_failure_all_is_clean() -> None:
    result = verdict_of((), config=voc_config())
    assert result.passed
    assert list(result.clean["image"]) == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]
    assert result.quarantine.empty


def test_the_clean_table_has_the_given_split_of_each_image() -> None:
    boxes = box_frame(["cat"] * 3).assign(given_split=["train", "", "TEST"], of_task=True, checked=True)
    columns = pd.DataFrame(columns=["file", "line", "column"])
    result = build_result({"boxes": boxes, "images": image_frame(boxes), "columns": columns}, {}, voc_config())
    assert list(result.clean["given_split"]) == ["train", "", "TEST"]


def test_one_critical_finding_fails_with_on_bad_row_fail() -> None:
    assert not verdict_of((1,), config=voc_config()).passed


def test_a_bad_row_is_set_aside_with_its_reason_with_on_bad_row_quarantine() -> None:
    result = verdict_of((1,), config=voc_config(on_bad_row="quarantine", max_bad_fraction=0.25))
    assert result.passed
    assert list(result.clean["image"]) == ["0.jpg", "2.jpg", "3.jpg"]
    assert result.quarantine[["line", "reasons"]].to_numpy().tolist() == [["3", "value_missing"]]


def test_one_bad_row_over_the_allowed_share_fails_with_a_finding_of_the_file() -> None:
    result = verdict_of((1, 2), config=voc_config(on_bad_row="quarantine", max_bad_fraction=0.49))
    assert not result.passed
    assert [str(finding) for finding in result.findings if finding.is_of_file()] == [
        "boxes.csv: too_many_bad_rows: expected at most 1 bad row: 49.00% of all, or one, got 2 of 4; "
        "correct them, or raise `max_bad_fraction` in a dataset.yaml (--config FILE)"
    ]


@pytest.mark.parametrize(
    ("rows", "fraction", "allowed"),
    # A product of floats that is a little below a whole number is that number: 0.29 * 100 is 28.999999999999996.
    [(4, 0.0, 1), (4, 0.49, 1), (4, 0.5, 2), (50, 0.01, 1), (199, 0.01, 1), (200, 0.01, 2), (100, 0.29, 29)],
)
def test_the_allowed_share_of_bad_rows_is_rounded_down_but_one_is_always_allowed(
    rows: int, fraction: float, allowed: int
) -> None:
    config = voc_config(on_bad_row="quarantine", max_bad_fraction=fraction)
    passed = [
        verdict_of(tuple(range(bad)), config=config, labels=["cat"] * rows).passed for bad in (allowed, allowed + 1)
    ]
    assert passed == [True, False]


def test_the_rows_of_an_image_that_does_not_decode_are_set_aside() -> None:
    config = voc_config(on_bad_row="quarantine", max_bad_fraction=0.5)
    result = verdict_of((1,), config=config, bad_images=(1, 2))
    assert list(result.quarantine["reasons"]) == ["image_undecodable; value_missing", "image_undecodable"]
    assert list(result.clean["image"]) == ["0.jpg", "3.jpg"]


def test_rows_of_another_label_are_never_clean_and_fail_nothing() -> None:
    result = verdict_of((1,), config=voc_config(label="cat"), labels=["cat", "dog", "cat"])
    assert result.passed
    assert [finding.severity for finding in result.findings] == ["warning"]
    assert list(result.clean["image"]) == ["0.jpg", "2.jpg"]


def test_an_unknown_label_is_reported_with_the_known_ones() -> None:
    result = verdict_of((), config=voc_config(label="WBX"), labels=["WBC", "RBC", "WBC"])
    assert not result.passed
    assert result.findings[0].got == "only RBC, WBC"


def test_nothing_clean_fails_even_where_all_bad_rows_are_allowed() -> None:
    config = voc_config(on_bad_row="quarantine", max_bad_fraction=1.0)
    assert not verdict_of((0, 1, 2, 3), config=config).passed
    assert verdict_of((0, 1, 2), config=config).passed


def test_findings_are_ranked_the_file_first() -> None:
    result = verdict_of((1, 0), config=voc_config(on_bad_row="quarantine"))
    assert [finding.rule for finding in result.ranked()[:2]] == ["too_many_bad_rows", "value_missing"]


@pytest.mark.parametrize(("name", "shown"), [("a\nb.csv", "a\\nb.csv"), ("\x1b[2J", "\\x1b[2J"), ("é.csv", "é.csv")])
def test_a_finding_is_one_line_that_cannot_steer_a_terminal(name: str, shown: str) -> None:
    finding = Finding(name, 3, "x", "rule", "critical", "1", "2", "do it")
    assert str(finding) == f"{shown}:3:x: rule: expected 2, got 1; do it"


def test_reports_hold_the_findings_by_file_and_line_and_the_counts(tmp_path: Path) -> None:
    findings, metrics = tmp_path / "findings.csv", tmp_path / "metrics.json"
    result = verdict_of((2, 0), config=voc_config())
    write_reports(result, findings=findings, quarantine=tmp_path / "quarantine.csv", metrics=metrics)
    assert findings.read_text(encoding="utf-8").splitlines() == [
        "file,line,column,rule,severity,got,expected,fix",
        "boxes.csv,2,,value_missing,critical,x,y,z",
        "boxes.csv,4,,value_missing,critical,x,y,z",
    ]
    counts = {"clean_images": 2, "critical": 2, "images": 4, "rows": 4, "set_aside": 2, "warnings": 0}
    assert json.loads(metrics.read_text(encoding="utf-8")) == counts
    assert len((tmp_path / "quarantine.csv").read_text(encoding="utf-8").splitlines()) == 3
