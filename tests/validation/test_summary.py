"""The Markdown summary: its content, its caps, and that no text of a data set can break its tables."""

import re
from dataclasses import replace

import pandas as pd
import pytest

from localizer.dataset import DatasetConfig
from localizer.findings import SHOWN, Finding, Severity
from localizer.tables import EDGES
from localizer.validation.drift import measure_drift
from localizer.validation.result import ValidationResult
from localizer.validation.summary import MAX_MOVED, render_summary, render_unreadable

NASTY = [
    "a|b",
    "a`b`",
    "<script>alert(1)</script>",
    "a\nb",
    "a\\|b",
    "[x](http://y)",
    "**bold**",
    "&amp;",
    "a\\",
    "`|`",
]


def config(**changed: object) -> DatasetConfig:
    values = {"title": "mine", "format": "voc", "annotations": "boxes", "images": "images"}
    return DatasetConfig.model_validate(values | changed)


def finding(line: int | None = 2, *, severity: Severity = "critical", **changed: object) -> Finding:
    default = Finding("boxes.csv", line, "xmax", "corner_order", severity, "xmax 1", "more", "correct it", row=line)
    return replace(default, **changed)  # type: ignore[arg-type]


def result(*findings: Finding, passed: bool = False) -> ValidationResult:
    rows = pd.DataFrame({"image": ["a", "b", "c"]})
    return ValidationResult(findings, clean=rows.head(2), quarantine=rows.head(1), boxes=rows, images=4, passed=passed)


def cells(row: str) -> int:
    """Return the number of cells of a row of a table, as GitHub counts them: an escaped pipe ends none."""
    return len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) - 1


def assert_tables_are_whole(text: str) -> None:
    """Assert that all rows of each table have the cells of its header, and that a table's rows are all there is."""
    for block in text.split("\n\n"):
        rows = block.splitlines()
        if any(re.fullmatch(r"\|[-:|]+\|", row) for row in rows):
            first = next(number for number, row in enumerate(rows) if row.startswith("|"))
            assert all(row.startswith("| ") or re.fullmatch(r"\|[-:|]+\|", row) for row in rows[first:])
            assert len({cells(row) for row in rows[first:]}) == 1


def test_the_first_line_has_the_state_and_the_counts() -> None:
    text = render_summary(result(finding(), finding(severity="warning")), config(), name="mine")
    assert text.startswith("# mine: stopped, 1 critical finding, 1 warning\n")
    assert render_summary(result(passed=True), config(), name="mine").startswith(
        "# mine: passed, 0 critical findings, 0 warn"
    )


def test_the_counts_are_a_table() -> None:
    text = render_summary(result(finding()), config(), name="mine")
    assert "| clean images | critical | images | rows | set aside | warnings |\n" in text
    assert "\n| 2 | 1 | 4 | 3 | 1 | 0 |\n" in text


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({}, "Read as voc: boxes of every label, xyxy in pixels counted from 0; a critical finding stops."),
        (
            {"label": "cat", "box_origin": 1},
            "Read as voc: the boxes labeled `cat`, xyxy in pixels counted from 1; a critical finding stops.",
        ),
        (
            {"format": "yolo", "on_bad_row": "quarantine", "max_bad_fraction": 0.025},
            "Read as yolo: boxes of every label, cxcywh in fractions of the image; "
            "bad rows are set aside, up to 2.50% of all, or one.",
        ),
    ],
)
def test_it_has_the_encoding_of_the_boxes(changed: dict[str, object], line: str) -> None:
    assert line in render_summary(result(), config(**changed), name="mine").splitlines()


def headings(text: str) -> list[str]:
    return re.findall(r"^## (.*)$", text, flags=re.MULTILINE)


def test_critical_rules_come_first_then_those_of_the_whole_file_then_the_frequent() -> None:
    whole = finding(None, row=None, column="", rule="unit_coordinates", severity="critical")
    found = [
        finding(2, rule="rare"),
        finding(3, rule="often"),
        finding(4, rule="often"),
        whole,
        *[finding(line, rule="odd", severity="warning") for line in (5, 6, 7)],
    ]
    assert headings(render_summary(result(*found), config(), name="mine")) == [
        "unit\\_coordinates: 1 finding, critical",
        "often: 2 findings, critical",
        "rare: 1 finding, critical",
        "odd: 3 findings, warning",
    ]


def test_a_rule_has_its_places_and_once_the_first_fix() -> None:
    text = render_summary(result(finding(17), finding(18, fix="another")), config(), name="mine")
    assert "| `boxes.csv:17:xmax` | more | xmax 1 |\n| `boxes.csv:18:xmax` | more | xmax 1 |\n\n" in text
    assert "Fix: **correct it**" in text
    assert "another" not in text


@pytest.mark.parametrize("severity", ["critical", "warning"])
def test_three_places_of_a_rule_are_shown_and_the_rest_is_counted(severity: Severity) -> None:
    found = [finding(line, severity=severity) for line in range(2, SHOWN + 5)]
    text = render_summary(result(*found), config(), name="mine")
    assert text.count("| `boxes.csv:") == SHOWN
    assert "\n\nand 3 more: see findings.csv\n" in text


def test_as_many_places_as_are_shown_have_no_rest() -> None:
    text = render_summary(result(*[finding(line) for line in range(1, SHOWN + 1)]), config(), name="mine")
    assert text.count("| `boxes.csv:") == SHOWN
    assert "more: see findings.csv" not in text


@pytest.mark.parametrize("nasty", NASTY)
def test_no_text_of_a_data_set_breaks_a_table(nasty: str) -> None:
    nasty_one = finding(2, file=nasty, column=nasty, got=nasty, expected=nasty, fix=nasty)
    nasty_file = replace(nasty_one, row=None, line=None)
    old = drift_rows((nasty, nasty, (0, 0, 10, 10)), ("b", nasty, (0, 0, 10, 10)))
    new = drift_rows((nasty, nasty, (5, 0, 15, 10)), ("c", nasty, (0, 0, 10, 10)))
    text = render_summary(
        result(nasty_one, nasty_file, replace(nasty_one, severity="warning")),
        config(label=nasty),
        name=nasty,
        thumbnails=[("thumbnails/01.jpg", nasty_one)] * 3,
        drift=measure_drift(new, old),
    )
    assert_tables_are_whole(text)
    assert_tables_are_whole(render_unreadable([nasty_one], name=nasty))
    assert "<script>" not in outside_code(text)
    assert "](http" not in outside_code(text).replace("\\]", "")


def outside_code(text: str) -> str:
    """Return the text without what stands between backticks, which is shown and means nothing."""
    return re.sub(r"(?<!\\)`[^`\n]*`", "", text)


def test_the_checks_of_tables_see_a_broken_one() -> None:
    with pytest.raises(AssertionError):
        assert_tables_are_whole("| a | b |\n|---|---|\n| a|b | c |")
    with pytest.raises(AssertionError):
        assert_tables_are_whole("| a | b |\n|---|---|\n| a\nb | c |")
    assert outside_code("a `<script>` <script>") == "a  <script>"


@pytest.mark.parametrize(
    ("label", "shown"),
    [("a|b", "a\\|b"), ("a`b", "a\\`b"), ("<b>", "&lt;b&gt;"), ("a\nb", "a\\\\nb"), ("a_b*", "a\\_b\\*"), ("é", "é")],
)
def test_text_is_escaped_so_that_it_shows_as_it_is(label: str, shown: str) -> None:
    text = render_summary(result(finding(got=label)), config(), name="mine")
    assert f"| more | {shown} |" in text


@pytest.mark.parametrize(
    ("file", "shown"), [("a|b", "a\\|b"), ("a`b", "a'b"), ("a\nb", "a\\nb"), ("a_b", "a_b"), ("a\\|b", "a\\\\\\|b")]
)
def test_a_path_is_code_that_ends_where_it_should(file: str, shown: str) -> None:
    text = render_summary(result(finding(file=file)), config(), name="mine")
    assert f"| `{shown}:2:xmax` | more" in text


def test_a_label_with_a_special_sign_is_shown_as_it_is_in_the_head() -> None:
    assert "the boxes labeled `white_cell`, " in render_summary(result(), config(label="white_cell"), name="mine")


def test_each_thumbnail_has_its_finding() -> None:
    shown = [(f"thumbnails/0{number}.jpg", finding(number, file="data/boxes.csv")) for number in (1, 2)]
    text = render_summary(result(), config(), name="mine", thumbnails=shown)
    rows = [line for line in text.splitlines() if "![" in line]
    texts = "corner_order<br>expected more<br>got xmax 1<br>**correct it** |"
    assert rows == [f"| ![corner_order](thumbnails/0{number}.jpg) | `boxes.csv:{number}` {texts}" for number in (1, 2)]


def test_where_the_config_shows_no_images_the_reason_is_given() -> None:
    text = render_summary(
        result(), config(show_images=False), name="mine", thumbnails=[("thumbnails/01.jpg", finding())]
    )
    assert "Not shown: dataset.yaml has `show_images: false`." in text
    assert "01.jpg" not in text


def test_without_thumbnails_there_is_no_section_for_them() -> None:
    assert "Thumbnails" not in render_summary(result(finding()), config(), name="mine")


def test_a_file_that_can_not_be_read_has_its_faults_and_nothing_else() -> None:
    text = render_unreadable([finding(3, rule="field_count", row=None)], name="my_set")
    assert text.startswith("# my\\_set: can't be read\n\nNothing else was checked. Fix these parse errors first:\n")
    assert "## field\\_count: 1 finding, critical\n" in text
    assert "| `boxes.csv:3:xmax` | more | xmax 1 |" in text


def test_a_file_with_many_faults_tells_how_many_more() -> None:
    text = render_unreadable([finding(line) for line in range(SHOWN + 2)], name="mine")
    assert "\nand 2 more: see findings.csv\n" in text


def drift_rows(*rows: tuple[str, str, tuple[float, ...]], first: int = 2) -> pd.DataFrame:
    frame = pd.DataFrame([(image, label, *box) for image, label, box in rows], columns=["image", "label", *EDGES])
    return frame.assign(line=range(first, first + len(rows)), element="")


def test_drift_has_its_rows_with_the_lowest_iou_first() -> None:
    # 10 x 10 moved by 5 shares a third, by 9 one of 19.
    old = drift_rows(*[(name, "cat", (0, 0, 10, 10)) for name in "abc"], first=1_000_002)
    new = drift_rows(("a", "cat", (5, 0, 15, 10)), ("b", "cat", (9, 0, 19, 10)), ("d", "cat", (0, 0, 10, 10)))
    text = render_summary(result(), config(), name="mine", drift=measure_drift(new, old))
    assert "## Against the accepted file: 1 added, 1 removed, 2 moved\n\n3 rows before, 3 now.\n" in text
    assert "Total variation distance of the labels 0.000; Kolmogorov-Smirnov of box areas 0.000." in text
    rows = [line for line in text.splitlines() if " | cat | " in line]
    assert rows == [
        "| moved | b | cat | 1000003 | 3 | 0.0526 |",
        "| moved | a | cat | 1000002 | 2 | 0.3333 |",
        "| removed | c | cat | 1000004 |  |  |",
        "| added | d | cat |  | 4 |  |",
    ]


def test_drift_without_a_change_has_no_table() -> None:
    rows = drift_rows(("a", "cat", (0, 0, 10, 10)))
    text = render_summary(result(), config(), name="mine", drift=measure_drift(rows, rows))
    assert "## Against the accepted file: 0 added, 0 removed, 0 moved" in text
    assert "| change |" not in text


def test_drift_is_capped_and_tells_how_many_more() -> None:
    new = drift_rows(*[(str(number), "cat", (0, 0, 10, 10)) for number in range(MAX_MOVED + 7)])
    report = measure_drift(new, drift_rows(("0", "dog", (0, 0, 10, 10))).head(0))
    text = render_summary(result(), config(), name="mine", drift=report)
    assert text.count("| added | ") == MAX_MOVED
    assert "\n\nand 7 more\n" in text
