"""The verdict from rules that failed, without Great Expectations: failures are made by hand."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from localizer.dataset import DatasetConfig
from localizer.findings import Finding
from localizer.validation.result import Examined, Verdict, judge, write_reports
from localizer.validation.rules.rule import Ask, Failure, Rule


def voc_card(**changed: object) -> DatasetConfig:
    values = {"title": "mine", "format": "voc", "annotations": "boxes", "images": "images"}
    return DatasetConfig.model_validate(values | changed)


def box_frame(labels: list[str]) -> pd.DataFrame:
    """Return a table of boxes as `expectations` makes it, as far as a verdict reads it, from line 2 on."""
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
    same |= dict.fromkeys(["element", "group"], "")
    same |= dict.fromkeys(["box_1", "box_2", "box_3", "box_4", "annotated_width_text", "annotated_height_text"], "1")
    frame = pd.DataFrame({"row": range(count), "line": [str(i + 2) for i in range(count)], "label": labels})
    frame["image"] = [f"{i}.jpg" for i in range(count)]
    return frame.assign(file="boxes.csv", path=frame["image"], **same)


def image_frame(boxes: pd.DataFrame) -> pd.DataFrame:
    facts: dict[str, Any] = {
        "annotated": "True",
        "exists": "True",
        "line": "",
        "judged": True,
        "file": boxes["path"],
        "problem": "cut",
        "sha256": boxes["image"],
        "phash": "",
    }
    return boxes[["row", "image", "path"]].assign(**facts)


def rule(name: str, *, scope: str = "row") -> Rule:
    texts = {"got": "x", "expected": "y", "fix": "z"}
    return Rule(name=name, ask=Ask("", {}), scope=scope, **texts)  # type: ignore[arg-type]


def verdict_of(
    bad_rows: tuple[int, ...],
    *,
    card: DatasetConfig,
    labels: list[str] | None = None,
    bad_images: tuple[int, ...] = (),
) -> Verdict:
    boxes = box_frame(labels or ["cat"] * 4)
    boxes["of_task"] = boxes["judged"] = True if card.label is None else boxes["label"] == card.label
    of_boxes = [Failure(rule("value_missing"), bad_rows)] if bad_rows else []
    of_images = [Failure(rule("image_undecodable", scope="image"), bad_images)] if bad_images else []
    columns = Examined(pd.DataFrame(columns=["file", "line", "column"]), [])
    return judge(Examined(boxes, of_boxes), Examined(image_frame(boxes), of_images), columns, card=card)


def test_without_a_failure_all_is_clean() -> None:
    verdict = verdict_of((), card=voc_card())
    assert verdict.passed
    assert list(verdict.clean["image"]) == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]
    assert verdict.quarantine.empty


def test_one_critical_finding_fails_where_the_card_says_fail() -> None:
    assert not verdict_of((1,), card=voc_card()).passed


def test_a_bad_row_is_set_aside_with_its_reason_where_the_card_says_quarantine() -> None:
    verdict = verdict_of((1,), card=voc_card(on_bad_row="quarantine", max_bad_fraction=0.25))
    assert verdict.passed
    assert list(verdict.clean["image"]) == ["0.jpg", "2.jpg", "3.jpg"]
    assert verdict.quarantine[["line", "reasons"]].to_numpy().tolist() == [["3", "value_missing"]]


def test_one_bad_row_over_the_allowed_share_fails_with_a_finding_of_the_file() -> None:
    verdict = verdict_of((1,), card=voc_card(on_bad_row="quarantine", max_bad_fraction=0.24))
    assert not verdict.passed
    assert [str(finding) for finding in verdict.findings if finding.is_of_file()] == [
        "boxes.csv: too_many_bad_rows: expected at most 24.00% of them, got 1 of 4 rows bad; "
        "mend them, or raise max_bad_fraction in the card (--card), or the option of that name"
    ]


def test_the_rows_of_an_image_that_does_not_decode_are_set_aside() -> None:
    card = voc_card(on_bad_row="quarantine", max_bad_fraction=0.5)
    verdict = verdict_of((1,), card=card, bad_images=(1, 2))
    assert list(verdict.quarantine["reasons"]) == ["image_undecodable; value_missing", "image_undecodable"]
    assert list(verdict.clean["image"]) == ["0.jpg", "3.jpg"]


def test_rows_of_another_label_are_never_clean_and_fail_nothing() -> None:
    verdict = verdict_of((1,), card=voc_card(label="cat"), labels=["cat", "dog", "cat"])
    assert verdict.passed
    assert [finding.severity for finding in verdict.findings] == ["warning"]
    assert list(verdict.clean["image"]) == ["0.jpg", "2.jpg"]


def test_a_label_that_is_not_there_is_told_with_those_that_are() -> None:
    verdict = verdict_of((), card=voc_card(label="WBX"), labels=["WBC", "RBC", "WBC"])
    assert not verdict.passed
    assert verdict.findings[0].got == "label WBX not found; there are: RBC, WBC"


def test_nothing_clean_fails_even_where_all_bad_rows_are_allowed() -> None:
    card = voc_card(on_bad_row="quarantine", max_bad_fraction=1.0)
    assert not verdict_of((0, 1, 2, 3), card=card).passed
    assert verdict_of((0, 1, 2), card=card).passed


def test_the_worst_findings_come_first() -> None:
    verdict = verdict_of((1, 0), card=voc_card(on_bad_row="quarantine"))
    assert [finding.rule for finding in verdict.worst(2)] == ["too_many_bad_rows", "value_missing"]


@pytest.mark.parametrize(("name", "shown"), [("a\nb.csv", "a\\nb.csv"), ("\x1b[2J", "\\x1b[2J"), ("é.csv", "é.csv")])
def test_a_finding_is_one_line_that_cannot_steer_a_terminal(name: str, shown: str) -> None:
    finding = Finding(name, 3, "x", "rule", "critical", "1", "2", "do it")
    assert str(finding) == f"{shown}:3:x: rule: expected 2, got 1; do it"


def test_reports_hold_the_findings_by_file_and_line_and_the_counts(tmp_path: Path) -> None:
    findings, metrics = tmp_path / "findings.csv", tmp_path / "metrics.json"
    verdict = verdict_of((2, 0), card=voc_card())
    write_reports(verdict, findings=findings, quarantine=tmp_path / "quarantine.csv", metrics=metrics)
    assert findings.read_text(encoding="utf-8").splitlines() == [
        "file,line,column,rule,severity,got,expected,fix",
        "boxes.csv,2,,value_missing,critical,x,y,z",
        "boxes.csv,4,,value_missing,critical,x,y,z",
    ]
    counts = {"clean_images": 2, "critical": 2, "images": 4, "rows": 4, "set_aside": 2, "warnings": 0}
    assert json.loads(metrics.read_text(encoding="utf-8")) == counts
    assert len((tmp_path / "quarantine.csv").read_text(encoding="utf-8").splitlines()) == 3
