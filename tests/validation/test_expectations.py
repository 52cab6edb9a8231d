"""One table with a fault on each line, checked once by Great Expectations; each test is about one rule."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from localizer.boxes import FORMATS
from localizer.dataset import CsvColumns, DatasetConfig
from localizer.datasets.annotations import COLUMNS
from localizer.datasets.coordinates import with_edges
from localizer.datasets.prepare import Tables
from localizer.tables import BOX, EDGES, Table
from localizer.validation.result import ValidationResult
from localizer.validation.validate import validate

FILE = "data/mine/raw/boxes.csv"
IMAGES = "data/mine/raw/images"
CONFIG_PATH = Path("data/mine/dataset.yaml")
NO_COLUMNS = pd.DataFrame(columns=["file", "line", "column", "used_as"], dtype=str)
Validate = Callable[..., ValidationResult]


def config(**changed: object) -> DatasetConfig:
    values: dict[str, object] = {
        "title": "mine",
        "format": "csv",
        "annotations": "boxes.csv",
        "images": "images",
        "columns": CsvColumns(image="photo", box=["left", "upper", "right", "lower"], label="kind"),
    }
    return DatasetConfig.model_validate(values | changed)


def box_row(
    line: int, image: str, box: str, *, label: str = "cat", size: str = "100 80", split: str = ""
) -> dict[str, str]:
    """Return a row of annotations.csv; `box` holds four values with spaces between, "_" for an empty one."""
    values = ["" if value == "_" else value for value in box.split(" ")]
    width, height = size.split() if size else ("", "")
    given = {"file": FILE, "line": str(line), "element": "", "image": image, "label": label, "group": ""}
    return given | dict(zip(BOX, values, strict=True)) | {"width": width, "height": height, "given_split": split}


def image_row(image: str, **changed: str) -> dict[str, str]:
    """Return a row of images.csv: an image of 100 x 80 pixels, whose content is its name."""
    facts = {"image": image, "path": f"{IMAGES}/{image}", "annotated": "True", "exists": "True"}
    facts |= {"decodes": "True", "problem": "", "width": "100", "height": "80", "mode": "RGB", "format": "JPEG"}
    return facts | {"orientation": "1", "frames": "1", "bytes": "9", "sha256": image, "phash": ""} | changed


def tables(rows: list[dict[str, str]], *others: dict[str, str], of: DatasetConfig | None = None) -> tuple[Table, Table]:
    """Return both tables as prepare writes them; images that no row of `others` describes are sound."""
    annotations = pd.DataFrame(rows, dtype=str)
    known = {other["image"] for other in others}
    sound = [image_row(image) for image in dict.fromkeys(annotations["image"]) if image not in known]
    images = pd.DataFrame([*sound, *others], dtype=str)
    annotations = with_edges(annotations, images.astype({"width": int, "height": int}), of or config())
    edges = annotations[EDGES].map(lambda value: "" if pd.isna(value) else repr(float(value)))
    return annotations.assign(**edges), images


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("validate") / "data_docs"


@pytest.fixture(scope="module")
def run(docs: Path) -> Validate:
    def validate_tables(both: tuple[Table, Table], config: DatasetConfig) -> ValidationResult:
        return validate(Tables(*both, NO_COLUMNS), config, image_size=20, config_path=CONFIG_PATH, docs=docs)

    return validate_tables


FAULTS = tables(
    [
        box_row(2, "sound.jpg", "10 10 60 50"),
        box_row(3, "missing.jpg", "10 10 60 50"),
        box_row(4, "outside/../../x.jpg", "10 10 60 50"),
        box_row(5, "empty.jpg", "10 _ 60 50"),
        box_row(6, "words.jpg", "10 10 1,5 50"),
        box_row(7, "huge.jpg", "10 10 1e400 50"),
        box_row(8, "wide.jpg", "10 10 \uff16\uff10 50"),
        box_row(9, "negative.jpg", "-3 10 60 50"),
        box_row(10, "turned.jpg", "60 10 10 50"),
        box_row(11, "flat.jpg", "10 50 60 50"),
        box_row(12, "beyond.jpg", "10 10 101 50"),
        box_row(13, "edge.jpg", "0 0 100 80"),
        box_row(14, "resized.jpg", "10 10 60 50", size="200 80"),
        box_row(15, "rotated.jpg", "10 10 60 50", size="80 100"),
        box_row(16, "nolabel.jpg", "10 10 60 50", label=""),
        box_row(17, "formula.jpg", "10 10 60 50", label="=1+1"),
        box_row(18, "twice.jpg", "10 10 60 50"),
        box_row(19, "twice.jpg", "10 10 60 50"),
        box_row(20, "two.jpg", "10 10 60 50"),
        box_row(21, "two.jpg", "20 20 60 50"),
        box_row(22, "small.jpg", "10 10 14 50"),
        box_row(23, "cut.jpg", "10 10 60 50"),
        box_row(24, "copy.jpg", "10 10 60 50"),
        box_row(25, "copied.jpg", "10 10 60 50"),
        box_row(26, "NA", "10 10 60 50", label="NA"),
        box_row(27, "nosize.jpg", "10 10 60 50", size=""),
    ],
    image_row("missing.jpg", exists="False", decodes="False", problem="no such file", sha256=""),
    image_row("outside/../../x.jpg", exists="False", decodes="False", problem="outside the images folder"),
    image_row("cut.jpg", decodes="False", problem="image file is truncated", width="0", height="0"),
    image_row("rotated.jpg", orientation="6"),
    image_row("copy.jpg", sha256="same"),
    image_row("copied.jpg", sha256="same"),
    image_row("spare1.jpg", annotated="False"),
    image_row("spare2.jpg", annotated="False"),
)

EXPECTED = {
    2: set(),
    3: {("image_missing", "photo")},
    4: {("image_missing", "photo")},
    5: {("value_missing", "upper")},
    6: {("value_not_a_number", "right")},
    7: {("value_not_a_number", "right")},
    8: {("value_not_a_number", "right")},
    9: {("value_negative", "left")},
    10: {("corner_order", "right")},
    11: {("corner_order", "lower")},
    12: {("outside_image", "right")},
    13: set(),
    14: {("size_disagrees", "width")},
    15: {("size_disagrees", "width"), ("size_disagrees", "height")},
    16: {("label_missing", "kind")},
    17: {("label_formula", "kind")},
    18: set(),
    19: {("duplicate_row", "photo")},
    20: {("several_boxes", "photo")},
    21: {("several_boxes", "photo")},
    22: {("small_box", "")},
    23: set(),
    24: set(),
    25: set(),
    26: set(),
    27: set(),
}


@pytest.fixture(scope="module")
def faults(run: Validate) -> ValidationResult:
    return run(FAULTS, config())


def messages(result: ValidationResult, rule: str) -> list[str]:
    return [str(finding) for finding in result.findings if finding.rule == rule]


@pytest.mark.parametrize("line", EXPECTED)
def test_each_line_has_the_findings_of_its_fault_and_no_others(faults: ValidationResult, line: int) -> None:
    found = {(finding.rule, finding.column) for finding in faults.findings if finding.line == line}
    assert found == EXPECTED[line]


def test_a_finding_has_place_expected_and_got_value_and_fix(faults: ValidationResult) -> None:
    assert messages(faults, "corner_order")[0] == (
        f"{FILE}:10:right: corner_order: expected more than xmin 60, got xmax 10; "
        "correct the box, or remove it; or are the columns xywh? set box_format: xywh in data/mine/dataset.yaml"
    )


def test_a_missing_image_is_reported_with_its_reason(faults: ValidationResult) -> None:
    assert "got 'outside/../../x.jpg': outside the images folder;" in messages(faults, "image_missing")[1]


def test_a_size_from_before_the_rotation_is_recognised_and_another_size_is_not(faults: ValidationResult) -> None:
    resized, rotated, _ = messages(faults, "size_disagrees")
    assert "before the EXIF rotation" in rotated
    assert "before the EXIF rotation" not in resized


def test_a_repeated_row_names_the_first(faults: ValidationResult) -> None:
    assert "got the row of line 18 again" in messages(faults, "duplicate_row")[0]


def test_several_boxes_of_an_image_name_all_their_lines(faults: ValidationResult) -> None:
    assert all("2 boxes in 'two.jpg': line 20, line 21" in text for text in messages(faults, "several_boxes"))


def test_an_image_that_does_not_decode_is_named_with_its_reason(faults: ValidationResult) -> None:
    assert messages(faults, "image_undecodable") == [
        f"{IMAGES}/cut.jpg: image_undecodable: expected an image that decodes completely, "
        "got one that does not (line 23): image file is truncated; replace the file, or remove it and its rows"
    ]


def test_equal_files_are_warned_of_and_name_each_other(faults: ValidationResult) -> None:
    copies = [finding for finding in faults.findings if finding.rule == "duplicate_content"]
    assert [(finding.file, finding.severity) for finding in copies] == [
        (f"{IMAGES}/copied.jpg", "warning"),
        (f"{IMAGES}/copy.jpg", "warning"),
    ]
    assert f"equal files: {IMAGES}/copy.jpg, {IMAGES}/copied.jpg" == copies[0].got


def test_images_without_a_box_are_one_finding(faults: ValidationResult) -> None:
    (text,) = messages(faults, "image_not_annotated")
    expected = "expected a box for each image, got 2 images without one: spare1.jpg, spare2.jpg;"
    assert text.startswith(f"{IMAGES}: image_not_annotated: {expected}")


def test_copies_rotated_and_spare_images_and_a_box_around_all_are_warnings(faults: ValidationResult) -> None:
    warnings = {finding.rule for finding in faults.findings if finding.severity == "warning"}
    assert warnings == {"duplicate_content", "exif_rotated", "image_not_annotated", "whole_image_box"}


def test_data_docs_name_the_failing_rows(run: Validate, docs: Path) -> None:
    run(FAULTS, config())
    (page,) = (docs / "validations" / "boxes").rglob("*.html")
    text = page.read_text(encoding="utf-8")
    assert "corner_order (critical): xmax must exceed xmin" in text
    assert "turned.jpg" in text
    assert "sound.jpg" not in text


def test_the_index_of_data_docs_links_its_pages_without_a_script(run: Validate, docs: Path) -> None:
    run(FAULTS, config())
    (page,) = (docs / "validations" / "boxes").rglob("*.html")
    assert f'href="{page.relative_to(docs).as_posix()}"' in (docs / "index.html").read_text(encoding="utf-8")


def test_other_labels_give_warnings_only_and_do_not_count_as_several_boxes(run: Validate) -> None:
    rows = [box_row(2, "a.jpg", "1 1 60 50"), box_row(3, "a.jpg", "60 1 10 50", label="dog")]
    result = run(tables(rows), config(label="cat"))
    assert [(finding.rule, finding.severity) for finding in result.findings] == [("corner_order", "warning")]
    assert result.passed
    assert list(result.clean["line"]) == ["2"]


def test_a_row_without_a_label_may_be_of_the_task_and_so_is_critical(run: Validate) -> None:
    rows = [box_row(2, "a.jpg", "1 1 60 50"), box_row(3, "b.jpg", "1 1 60 50", label="")]
    result = run(tables(rows), config(label="cat"))
    assert [(finding.line, finding.severity) for finding in result.findings] == [(3, "critical")]


@pytest.mark.parametrize(
    ("policy", "severity", "clean", "set_aside"),
    [
        ("error", "critical", [], ["2", "3", "4"]),
        ("largest", "warning", ["3"], ["2", "4"]),
        ("drop", "warning", [], ["2", "3", "4"]),
    ],
)
def test_several_boxes_are_handled_as_the_config_declares(
    run: Validate, policy: str, severity: str, clean: list[str], set_aside: list[str]
) -> None:
    rows = [
        box_row(2, "a.jpg", "1 1 20 20"),
        box_row(3, "a.jpg", "1 1 60 50"),
        box_row(4, "a.jpg", "2 2 61 51"),
    ]
    result = run(tables([*rows, box_row(5, "b.jpg", "1 1 60 50")]), config(multiple=policy))
    assert {finding.severity for finding in result.findings} == {severity}
    assert list(result.clean["line"]) == [*clean, "5"]
    assert list(result.quarantine["line"]) == set_aside


def test_a_box_beyond_its_image_is_not_taken_for_the_largest(run: Validate) -> None:
    rows = [box_row(2, "a.jpg", "1 1 20 20"), box_row(3, "a.jpg", "1 1 600 50"), box_row(4, "b.jpg", "1 1 60 50")]
    result = run(tables(rows), config(multiple="largest", on_bad_row="quarantine", max_bad_fraction=0.5))
    assert list(result.clean["line"]) == ["2", "4"]


def test_a_box_of_one_given_coordinate_is_empty_though_its_edges_differ_by_a_pixel(run: Validate) -> None:
    of = config(box_origin=1)
    rows = [box_row(2, "a.jpg", "10 10 10 50"), box_row(3, "b.jpg", "10 10 11 50")]
    annotations, images = tables(rows, of=of)
    assert list(annotations["xmax_px"].astype(float) - annotations["xmin_px"].astype(float)) == [1, 2]
    result = run((annotations, images), of)
    assert [finding.line for finding in result.findings if finding.rule == "corner_order"] == [2]


@pytest.mark.parametrize(("units", "found"), [("pixel", 1), ("unit", 0)])
def test_values_up_to_1_are_one_finding_where_the_config_has_pixels(run: Validate, units: str, found: int) -> None:
    rows = [box_row(2, "a.jpg", "0.1 0.1 0.6 0.5"), box_row(3, "b.jpg", "0.1 0.1 1 0.5")]
    of = config(box_units=units)
    result = run(tables(rows, of=of), of)
    assert len(messages(result, "unit_coordinates")) == found
    assert result.passed is not bool(found)


def test_a_table_without_a_single_number_is_not_taken_for_unit_coordinates(run: Validate) -> None:
    result = run(tables([box_row(2, "a.jpg", "x x x x")]), config())
    assert {finding.rule for finding in result.findings} == {"value_not_a_number", "no_rows"}


def test_sides_read_as_corners_are_detected_with_the_evidence(run: Validate) -> None:
    rows = [box_row(line, f"{line}.jpg", "50 40 20 30") for line in (2, 3)] + [box_row(4, "4.jpg", "1 1 20 30")]
    (text,) = messages(run(tables(rows), config()), "read_as_xywh")
    assert "got 2 of 3 boxes wrong; as xywh, 2 of these would fit" in text


def test_corners_read_as_sides_are_detected(run: Validate) -> None:
    rows = [box_row(2, "a.jpg", "50 40 90 70"), box_row(3, "b.jpg", "50 40 80 75")]
    of = config(box_format="xywh")
    result = run(tables(rows, of=of), of)
    assert len(messages(result, "read_as_xyxy")) == 1


def test_one_turned_box_among_many_is_no_other_format(run: Validate) -> None:
    rows = [box_row(line, f"{line}.jpg", "1 1 20 30") for line in range(2, 22)]
    result = run(tables([*rows, box_row(22, "22.jpg", "50 40 20 30")]), config())
    assert {finding.rule for finding in result.findings} == {"corner_order"}


@pytest.mark.parametrize("box_format", [name for name in FORMATS if name != "xyxy"])
def test_a_side_of_zero_is_an_empty_box_in_every_format_with_sides(run: Validate, box_format: str) -> None:
    rows = [box_row(2, "a.jpg", "50 40 0 20"), box_row(3, "b.jpg", "50 40 20 20")]
    of = config(box_format=box_format)
    result = run(tables(rows, of=of), of)
    found = [(finding.line, finding.column) for finding in result.findings if finding.rule == "corner_order"]
    assert found == [(2, "right")]


def test_rounding_at_the_edge_is_not_outside_and_a_thousandth_of_a_pixel_is(run: Validate) -> None:
    annotations, images = tables([box_row(2, "a.jpg", "10 10 100 50"), box_row(3, "b.jpg", "10 10 100 50")])
    annotations["xmax_px"] = ["100.00000000000001", "100.001"]
    result = run((annotations, images), config())
    assert [(finding.line, finding.got) for finding in result.findings] == [(3, "the right edge at 100.001 px")]


def test_a_script_in_a_label_does_not_run_in_data_docs(run: Validate, docs: Path) -> None:
    result = run(tables([box_row(2, "a.jpg", "10 10 60 50", label="=<script>alert(1)")]), config())
    (page,) = (docs / "validations" / "boxes").rglob("*.html")
    text = page.read_text(encoding="utf-8")
    assert "<script>alert(1)" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "<script>alert(1)" in messages(result, "label_formula")[0]


@pytest.mark.parametrize("box_format", ["xywh", "xyhw", "cxcywh"])
def test_a_row_set_aside_keeps_its_columns_where_the_box_has_a_width_too(run: Validate, box_format: str) -> None:
    of = config(box_format=box_format, on_bad_row="quarantine", max_bad_fraction=0.5)
    rows = [box_row(2, "a.jpg", "30 30 -5 20"), box_row(3, "b.jpg", "30 30 10 20")]
    aside = run(tables(rows, of=of), of).quarantine
    assert list(aside.columns) == [*COLUMNS, *EDGES, "reasons"]
    assert aside.iloc[0][["box_3", "width", "height"]].tolist() == ["-5", "100", "80"]


def test_a_fix_names_the_config_of_the_data_set(run: Validate) -> None:
    rows = [box_row(2, "a.jpg", "60 50 1 1"), box_row(3, "b.jpg", "1 1 60 50")]
    for row in rows:
        row["file"] = "data/mine/raw/boxes.csv"
    (fix, *_) = {finding.fix for finding in run(tables(rows), config()).findings if finding.rule == "corner_order"}
    assert fix.endswith("set box_format: xywh in data/mine/dataset.yaml")
