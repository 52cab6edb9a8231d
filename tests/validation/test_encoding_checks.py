"""Checks of the whole file for an undeclared encoding: how many rows are evidence, and what is none."""

from typing import Any

import pandas as pd
import pytest

from localizer.boxes import FORMATS, to_xyxy
from localizer.dataset import CsvColumns, DatasetConfig
from localizer.findings import Finding, critical
from localizer.validation.rules.encoding_checks import check_encoding

Box = tuple[float, float, float, float]
SOURCE = "boxes.csv"
FITS: Box = (10, 10, 60, 50)  # in 100 x 80 pixels it fits as xyxy, and as xywh: 70, 60
SIDES: Box = (50, 40, 20, 30)  # no box as xyxy; as xywh it ends at 70, 70
NONE: Box = (95, 75, 20, 60)  # no box as xyxy, and beyond the image in every other format
CORNERS: Box = (50, 40, 90, 70)  # as xywh it ends at 140, 110, beyond the image


def config(**changed: object) -> DatasetConfig:
    values: dict[str, object] = {"title": "mine", "format": "csv", "annotations": "boxes.csv", "images": "images"}
    columns = CsvColumns(image="image", box=["a", "b", "c", "d"])
    return DatasetConfig.model_validate(values | {"columns": columns} | changed)


def table(
    boxes: list[Box], of: DatasetConfig, *, size: tuple[float, float] = (100, 80), checked: bool = True
) -> pd.DataFrame:
    """Return the columns of `box_table` that the checks need."""
    given = pd.DataFrame(boxes, columns=list(FORMATS[of.box_format]), dtype=float)
    edges = to_xyxy(given.to_numpy(), of.box_format)
    known: dict[str, Any] = {"image_width": float(size[0]), "image_height": float(size[1]), "checked": checked}
    known |= {"row": range(len(boxes))} | dict(zip(("xmin_px", "ymin_px", "xmax_px", "ymax_px"), edges.T, strict=True))
    return given.assign(largest_value=given.max(axis=1), **known)


def wrong(row: int, rule: str = "corner_order") -> Finding:
    return Finding(SOURCE, row + 2, "c", rule, "critical", "x", "y", "z", row=row)


def found(
    boxes: list[Box], of: DatasetConfig, *, unfit: tuple[int, ...] = (), rule: str = "corner_order"
) -> list[Finding]:
    rows = [wrong(row, rule) for row in unfit]
    return list(check_encoding(table(boxes, of), of, rows, source=SOURCE))


def rules(boxes: list[Box], of: DatasetConfig, *, unfit: tuple[int, ...] = ()) -> list[str]:
    return [finding.rule for finding in found(boxes, of, unfit=unfit)]


def test_most_rows_that_fit_in_another_format_are_critical_with_their_numbers() -> None:
    (finding,) = found([SIDES, SIDES, FITS], config(), unfit=(0, 1))
    assert (finding.rule, finding.severity, finding.row, finding.line) == ("read_as_xywh", "critical", None, None)
    assert finding.got == "2 of 3 boxes wrong; as xywh, 2 of these would fit, and 3 of all"
    assert finding.fix.startswith("are the columns xywh (x, y, width, height)? set box_format: xywh in ")


def test_a_tenth_of_the_rows_is_a_warning_and_fewer_are_none() -> None:
    # Nine others that do not fit as xywh, so that the few are no evidence.
    (finding,) = found([SIDES] + [CORNERS] * 9, config(), unfit=(0,))
    assert (finding.rule, finding.severity) == ("read_as_xywh", "warning")
    assert rules([SIDES] + [CORNERS] * 10, config(), unfit=(0,)) == []


def test_three_rows_of_many_are_a_sign_where_nearly_all_would_fit_too() -> None:
    (finding,) = found([SIDES] * 3 + [FITS] * 97, config(), unfit=(0, 1, 2))
    assert (finding.rule, finding.severity) == ("read_as_xywh", "warning")
    assert finding.got == "3 of 100 boxes wrong; as xywh, 3 of these would fit, and 100 of all"


@pytest.mark.parametrize(("misfits", "rules_found"), [(1, ["read_as_xywh"]), (2, [])])
def test_nearly_all_are_99_of_100(misfits: int, rules_found: list[str]) -> None:
    boxes = [SIDES] * 3 + [CORNERS] * misfits + [FITS] * (97 - misfits)
    assert rules(boxes, config(), unfit=(0, 1, 2)) == rules_found


def test_two_mistakes_among_many_rows_are_no_evidence() -> None:
    assert rules([SIDES] * 2 + [FITS] * 98, config(), unfit=(0, 1)) == []


def test_rows_that_fit_in_no_format_are_no_evidence() -> None:
    assert rules([NONE] * 3, config(), unfit=(0, 1, 2)) == []


def test_without_a_row_that_is_wrong_there_is_no_evidence_though_another_format_fits() -> None:
    assert rules([FITS] * 5, config()) == []


def test_corners_read_as_sides_are_detected_by_their_edges_beyond_the_image() -> None:
    of = config(box_format="xywh")
    (finding,) = found([CORNERS, CORNERS], of, unfit=(0, 1), rule="outside_image")
    assert finding.rule == "read_as_xyxy"
    assert finding.got == "2 of 2 boxes wrong; as xyxy, 2 of these would fit, and 2 of all"


def test_centers_read_as_corners_in_shares_are_seen() -> None:
    # As cxcywh 0.3 to 0.7 across and 0.2 to 0.8 down; as xywh it would end at 1.1, as xyxy it is turned.
    assert rules([(0.5, 0.5, 0.4, 0.6)] * 3, config(box_format="xywh", box_units="unit"), unfit=(0, 1, 2)) == [
        "read_as_cxcywh"
    ]


def test_faults_of_other_rules_are_no_sign_of_another_format() -> None:
    assert found([SIDES] * 3, config(), unfit=(0, 1, 2), rule="value_missing") == []


def test_a_format_that_declares_how_its_boxes_are_written_is_not_checked() -> None:
    of = config(format="coco", columns=None)
    assert found([CORNERS] * 3, of, unfit=(0, 1, 2), rule="outside_image") == []


def test_rows_of_other_labels_are_no_evidence() -> None:
    rows = table([SIDES] * 3, config(), checked=False)
    assert list(check_encoding(rows, config(), [wrong(0), wrong(1), wrong(2)], source=SOURCE)) == []


def test_sides_that_are_counted_from_1_fit_up_to_the_last_pixel() -> None:
    # The pixels 70 to 100 and 50 to 80; counted from 0 they would fit as cxcywh alone.
    assert rules([(70, 50, 31, 31)] * 3, config(box_origin=1), unfit=(0, 1, 2)) == ["read_as_xywh"]


NO_SIZE = (float("nan"), float("nan"))


def without_sizes(
    boxes: list[Box], of: DatasetConfig, *, unfit: tuple[int, ...], rule: str = "corner_order"
) -> list[str]:
    rows = table(boxes, of, size=NO_SIZE)
    return [finding.rule for finding in check_encoding(rows, of, [wrong(row, rule) for row in unfit], source=SOURCE)]


def test_without_sizes_boxes_that_turn_over_are_a_sign_where_they_are_many() -> None:
    assert without_sizes([SIDES] + [FITS] * 9, config(), unfit=(0,)) == ["read_as_xywh"]


def test_without_sizes_a_few_are_no_evidence_as_nearly_all_numbers_fit_as_sides() -> None:
    assert without_sizes([SIDES] * 3 + [FITS] * 97, config(), unfit=(0, 1, 2)) == []


def test_without_sizes_boxes_that_only_begin_before_the_image_are_no_evidence() -> None:
    # It begins at -10 as declared, and would fit as corners and as sides: but so would nearly every box.
    of = config(box_format="cxcywh")
    assert without_sizes([(10, 20, 40, 30)] * 3, of, unfit=(0, 1, 2), rule="outside_image") == []
    sized = table([(10, 20, 40, 30)] * 3, of)
    found = check_encoding(sized, of, [wrong(row, "outside_image") for row in range(3)], source=SOURCE)
    assert [finding.rule for finding in found] == ["read_as_xyxy"]


AT_ONE: Box = (1, 20, 60, 50)
AT_END: Box = (20, 20, 100, 50)
ENDS_BELOW: Box = (20, 20, 60, 80)
BEFORE_ONE: Box = (0, 20, 60, 50)


def test_three_boxes_at_1_and_three_at_the_end_and_none_before_1_are_counted_from_1() -> None:
    (finding,) = found([AT_ONE, AT_ONE, (30, 1, 60, 50), AT_END, AT_END, ENDS_BELOW], config())
    assert (finding.rule, finding.severity, finding.file) == ("counted_from_one", "warning", SOURCE)
    assert finding.got == "boxes of which none starts below 1, 3 start at 1, and 3 end at their image's edge"


@pytest.mark.parametrize(
    "boxes",
    [
        [*[AT_ONE] * 2, *[AT_END] * 3],
        [*[AT_ONE] * 3, *[AT_END] * 2],
        [*[AT_ONE] * 3, *[AT_END] * 3, BEFORE_ONE],
        [*[AT_ONE] * 3, *[AT_END] * 3, (20, 20, 101, 50)],
    ],
    ids=["two-at-1", "two-at-the-end", "one-before-1", "one-beyond-the-end"],
)
def test_less_than_that_is_no_evidence_of_counting_from_1(boxes: list[Box]) -> None:
    assert rules(boxes, config()) == []


@pytest.mark.parametrize(
    "changed",
    [{"box_origin": 1}, {"box_units": "unit"}, {"box_format": "cxcywh"}],
    ids=["origin-1", "unit", "cxcywh"],
)
def test_where_pixels_are_not_counted_from_0_no_counting_from_1_is_seen(changed: dict[str, object]) -> None:
    of = config(**changed)
    edges = [*[AT_ONE] * 3, *[AT_END] * 3]
    boxes = table(edges, of).assign(xmax_px=100.0, largest_value=1.0)
    assert list(check_encoding(boxes, of, [], source=SOURCE)) == []


@pytest.mark.parametrize(("x", "rules_found"), [(41, ["counted_from_one"]), (40, [])])
def test_a_side_that_begins_at_1_ends_a_pixel_later(x: float, rules_found: list[str]) -> None:
    # 41 + 60 - 1 is the 100th and last pixel; 40 + 60 - 1 is not.
    assert rules([(1, 20, 60, 50)] * 3 + [(x, 20, 60, 50)] * 3, config(box_format="xywh")) == rules_found


def test_boxes_that_were_clipped_to_the_last_edge_are_no_evidence() -> None:
    of = config(clip_px=2)
    clipped = table([AT_ONE] * 3 + [(20, 20, 102, 50)] * 3, of)
    clipped["xmax_px"] = clipped["xmax_px"].clip(upper=100)
    assert list(check_encoding(clipped, of, [], source=SOURCE)) == []


@pytest.mark.parametrize(("large", "rules_found"), [(2, ["pixel_coordinates"]), (1, [])])
def test_shares_above_1_in_more_than_half_of_the_rows_are_pixels(large: int, rules_found: list[str]) -> None:
    shares: list[Box] = [(0.1, 0.1, 0.6, 0.5)] * (3 - large)
    assert rules([FITS] * large + shares, config(box_units="unit")) == rules_found


def test_pixels_read_as_shares_are_reported_with_their_number() -> None:
    (finding,) = found([FITS, FITS], config(box_units="unit"))
    assert (finding.severity, finding.got) == ("critical", "2 of 2 boxes with a value above 1")
    assert "set box_units: pixel" in finding.fix


def test_the_fix_of_yolo_files_with_pixels_names_yolo() -> None:
    (finding,) = found([FITS, FITS], config(format="yolo", columns=None))
    assert finding.rule == "pixel_coordinates"
    assert finding.fix.endswith("YOLO's are fractions: divide them by the image's width and height")


def test_a_fault_of_the_whole_file_has_no_row() -> None:
    other = critical(SOURCE, "corner_order", got="x", expected="y", fix="z")
    assert list(check_encoding(table([SIDES] * 3, config()), config(), [other], source=SOURCE)) == []


def test_corners_with_y_before_x_are_reported_if_all_then_fit() -> None:
    # As x before y, a box to 95 ends below the image's 80; as y before x it lies within the 100 across.
    tall, short = (10.0, 5.0, 50.0, 95.0), (10.0, 5.0, 50.0, 60.0)
    (finding,) = [
        finding
        for finding in found([tall] * 3 + [short] * 7, config(), unfit=(0, 1, 2))
        if finding.rule == "read_as_yx"
    ]
    assert (finding.got, finding.severity) == (
        "3 of 10 boxes wrong; with x and y swapped, 10 of all would fit",
        "warning",
    )
    assert "read_as_yx" not in rules([tall] * 2 + [short] * 8, config(), unfit=(0, 1))
    assert "read_as_yx" not in rules([tall] * 3 + [(85.0, 5.0, 90.0, 50.0)], config(), unfit=(0, 1, 2))
