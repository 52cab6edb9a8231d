"""Detection of a CSV's columns and of how boxes are written."""

import csv
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from localizer.boxes import Array, BoxFormat
from localizer.dataset import DatasetConfig
from localizer.datasets.annotations import read_boxes
from localizer.datasets.coordinates import parse_coordinates
from localizer.datasets.detection.box_encoding import (
    BoxEncoding,
    Detection,
    NamedColumns,
    Order,
    detect_encoding,
)
from localizer.datasets.detection.columns import DetectedColumns, detect_columns
from localizer.datasets.image_names import image_files
from localizer.datasets.image_sizes import annotated_sizes

MIRROR = os.environ.get("LOCALIZER_MIRROR", "")
needs_mirror = pytest.mark.skipif(not MIRROR, reason="LOCALIZER_MIRROR names no mirror")

SIZE = (100, 80)
# Ten boxes in images of 100 x 80, of which each leaves the image or turns over when it is read in another way.
XYXY = [[40 + i, 30 + i, 90 + i, 60 + i] for i in range(10)]
XYWH = [[40 + i, 30 + i, 50, 30] for i in range(10)]
XYHW = [[40 + i, 60 + i / 2, 15, 50] for i in range(10)]
CXCYWH = [[60 + i, 40 + i, 50, 30] for i in range(10)]


def detect(boxes: Any, *, named: BoxFormat | None = None, size: tuple[float, float] = SIZE, **given: Any) -> Detection:
    coordinates: Array = np.array(boxes, dtype=np.float64)
    sizes = np.tile(np.array(size, dtype=np.float64), (len(coordinates), 1))
    names = NamedColumns(named, "the columns are called a, b, c, d")
    return detect_encoding(coordinates, sizes, given=BoxEncoding(**given), named=names)


@pytest.mark.parametrize(("boxes", "box_format"), [(XYXY, "xyxy"), (XYWH, "xywh"), (XYHW, "xyhw"), (CXCYWH, "cxcywh")])
def test_without_names_the_format_is_the_one_that_most_boxes_fit(boxes: Any, box_format: str) -> None:
    assert detect(boxes).encoding.box_format == box_format


def test_the_reason_counts_the_boxes_that_fit_each_format() -> None:
    # xywh: 40 + 90 > 100. cxcywh: 40 - 90 / 2 < 0. xyhw: 40 + 60 <= 100, but 30 + 90 > 80.
    assert detect(XYXY, named="xyxy").reasons == (
        "box_format: xyxy, since 10 of 10 boxes lie within their images (xywh: 0, cxcywh: 0, xyhw: 0), "
        "and the columns are called a, b, c, d",
        "box_units: pixel, since 10 of 10 boxes have a value above 1",
        "box_origin: 0, since 0 boxes begin at 1, and 0 end at their image's edge, 0 beyond it",
    )


def test_names_that_most_boxes_contradict_are_not_believed() -> None:
    found = detect(XYWH, named="xyxy")
    assert found.encoding.box_format == "xywh"
    assert found.reasons[0].endswith(", although the columns are called a, b, c, d")


@pytest.mark.parametrize(("outside", "box_format"), [(10, "xywh"), (11, "xyxy")])
def test_names_are_believed_while_nine_of_ten_boxes_fit_them(outside: int, box_format: str) -> None:
    fits_both, only_xyxy = [1, 1, 5, 5], [60, 50, 90, 70]  # 60 + 90 > 100
    boxes = [fits_both] * (100 - outside) + [only_xyxy] * outside
    assert detect(boxes, named="xywh").encoding.box_format == box_format


def test_names_are_believed_where_no_other_format_fits_either() -> None:
    # Half are xyxy alone, and half xywh alone: no format fits 99%.
    mixed = [[60, 50, 90, 70], [60, 50, 30, 20]] * 5
    assert detect(mixed, named="xywh").encoding.box_format == "xywh"


def test_of_formats_that_fit_equally_the_named_one_wins_then_xyxy() -> None:
    boxes = [[20, 20, 30, 30]] * 4  # within 100 x 80 as xyxy, xywh, cxcywh and xyhw
    assert detect(boxes, named="cxcywh").encoding.box_format == "cxcywh"
    assert detect(boxes).encoding.box_format == "xyxy"


def test_what_is_given_wins_over_the_boxes() -> None:
    found = detect(XYWH, named="xywh", box_format="xyxy", box_units="unit", box_origin=0)
    assert found.encoding == BoxEncoding("xyxy", "unit", 0)
    assert found.reasons == ("box_format: xyxy, as given", "box_units: unit, as given", "box_origin: 0, as given")


def test_rows_that_are_no_numbers_do_not_count() -> None:
    found = detect([*XYWH, [np.nan, 1, 2, 3]], named="xyxy")
    assert found.reasons[0].startswith("box_format: xywh, since 10 of 10 boxes")


def test_without_one_box_of_four_numbers_the_names_decide() -> None:
    found = detect([[np.nan] * 4], named="cxcywh")
    assert found.encoding == BoxEncoding("cxcywh", "pixel", 0)


def test_where_no_size_is_known_boxes_count_that_are_well_formed() -> None:
    found = detect([[60, 50, 30, 20], [70, 5, 40, 9]], named="xyxy", size=(np.nan, np.nan))
    assert found.encoding.box_format == "xywh"
    assert "since 2 of 2 boxes are well-formed (xyxy: 0, cxcywh: 2, xyhw: 2)" in found.reasons[0]


@pytest.mark.parametrize(
    ("boxes", "units"),
    [
        ([[0.1, 0.2, 0.5, 1.0]], "unit"),
        ([[0.1, 0.2, 0.5, 1.0000001]], "unit"),  # a share that was rounded
        ([[0.1, 0.2, 0.5, 1.1]], "pixel"),
        ([[0, 0, 1, 1]], "pixel"),  # a pixel
        ([[0.1, 0.2, 0.5, 1.0], [0, 0, 50, 50]], "pixel"),
    ],
)
def test_boxes_without_a_value_above_1_are_in_0_to_1(boxes: Any, units: str) -> None:
    assert detect(boxes).encoding.box_units == units


def test_boxes_in_0_to_1_are_detected_without_any_size() -> None:
    found = detect([[0.5, 0.5, 0.8, 0.4]], size=(np.nan, np.nan))  # as xywh it ends at 1.3
    assert (found.encoding.box_format, found.encoding.box_units) == ("cxcywh", "unit")


@pytest.mark.parametrize(
    ("boxes", "box_format", "origin"),
    [
        ([[1, 5, 50, 50]] * 3 + [[20, 20, 100, 60]] * 3, "xyxy", 1),
        ([[1, 5, 50, 50]] * 3 + [[20, 20, 60, 80]] * 3, "xyxy", 1),
        ([[1, 5, 50, 50]] * 2 + [[20, 20, 100, 60]] * 3, "xyxy", 0),  # chance
        ([[1, 5, 50, 50]] * 3 + [[20, 20, 100, 60]] * 2, "xyxy", 0),
        ([[0, 5, 50, 50]] + [[1, 20, 100, 60]] * 3, "xyxy", 0),  # one begins at 0
        ([[2, 5, 50, 50]] + [[20, 20, 100, 60]] * 3, "xyxy", 0),  # none begins at 1
        ([[1, 5, 50, 50]] * 3 + [[20, 20, 99, 60]] * 3, "xyxy", 0),  # none ends at the edge
        ([[1, 5, 101, 50]] + [[1, 20, 100, 60]] * 3, "xyxy", 0),  # one ends beyond
        ([[1, 5, 49, 45]] * 3 + [[61, 20, 40, 40]] * 3, "xywh", 1),  # the pixels 61 to 100
        ([[1, 5, 49, 45]] * 3 + [[60, 20, 40, 40]] * 3, "xywh", 0),  # the edges 60 to 100
        ([[1, 5, 45, 49]] * 3 + [[61, 20, 40, 40]] * 3, "xyhw", 1),
        ([[50, 40, 98, 78]] * 3, "cxcywh", 0),
    ],
)
def test_pixels_are_counted_from_1_where_three_boxes_begin_at_1_and_three_end_at_the_edge(
    boxes: Any, box_format: BoxFormat, origin: int
) -> None:
    assert detect(boxes, box_format=box_format).encoding.box_origin == origin


def test_the_reason_of_an_origin_counts_the_edges() -> None:
    boxes = [[1, 5, 50, 50]] * 3 + [[20, 20, 100, 60]] * 4
    edges = "3 begin at 1, and 4 end at their image's edge, none beyond it"
    assert detect(boxes, box_format="xyxy").reasons[2] == f"box_origin: 1, since no box begins below 1, {edges}"


@pytest.mark.parametrize("given", [{}, {"box_origin": 1}], ids=["detected", "given"])
def test_a_side_that_is_counted_from_1_fits_up_to_the_last_pixel(given: dict[str, Any]) -> None:
    # 61 + 40 is 101, but the last pixel is 61 + 40 - 1; as xyxy and xyhw they fit too, but for the second.
    boxes = [[1, 5, 49, 45]] * 3 + [[61, 20, 40, 61]] * 3
    found = detect(boxes, named="xywh", **given)
    assert (found.encoding.box_format, found.encoding.box_origin) == ("xywh", 1)
    assert found.reasons[0].startswith("box_format: xywh, since 6 of 6 boxes lie within their images")


def test_boxes_in_0_to_1_have_the_origin_0() -> None:
    assert detect([[1.0, 0.5, 1.0, 1.0]], box_units="unit", size=(1, 1)).encoding.box_origin == 0


@pytest.mark.parametrize(("order", "boxes"), [((0, 2, 1, 3), [[40, 90, 30, 60]]), ((1, 0, 3, 2), [[10, 170, 60, 195]])])
def test_unnamed_corners_may_be_in_another_order(order: Order, boxes: Any) -> None:
    found = detect(boxes * 10, size=(200, 80))  # as x y x y 30 is below 40, or 195 beyond 80
    assert (found.encoding.box_format, found.order) == ("xyxy", order)


@pytest.mark.parametrize(
    ("size", "boxes", "units"),
    [
        ((640, 480), [[10 + i, 20, 90 + i, 70] for i in range(10)], "percent"),  # all in the corner of 640 x 480
        ((640, 480), [[10 + i, 20, 70 + i, 70] for i in range(10)], "pixel"),  # none beyond 79
        ((120, 90), [[10 + i, 20, 90 + i, 70] for i in range(10)], "pixel"),  # which reach the edges
        ((640, 480), [[10, 20, 90, 70]] * 9, "pixel"),  # too few
        ((80, 60), [[10, 20, 30, 40]] * 9 + [[10, 20, 90, 70]] * 3, "pixel"),  # a quarter of them wrong
        ((80, 60), [[10 + i, 20, 90 + i, 70] for i in range(10)], "percent"),  # beyond 80 x 60
        ((640, 480), [[100, 200 + i, 900 + i, 700] for i in range(10)], "thousandth"),  # beyond 640 x 480
        ((4000, 3000), [[100, 200 + i, 900 + i, 700] for i in range(10)], "thousandth"),
    ],
)
def test_per_cent_and_thousandths_are_known_by_where_boxes_would_lie_in_pixels(
    size: tuple[float, float], boxes: Any, units: str
) -> None:
    assert detect(boxes, named="xyxy", size=size).encoding.box_units == units


def test_corners_may_be_in_any_order_where_one_box_in_ten_or_more_turns_over() -> None:
    turned = [[90, 30, 40, 60], [40, 60, 90, 30]]
    found = detect(XYXY + turned, named="xyxy")
    assert found.encoding == BoxEncoding("xyxy", "pixel", 0, "any")
    assert (
        found.reasons[0] == "box_format: xyxy, since 12 of 12 boxes lie within their images with corners in any order"
    )
    assert detect(XYXY * 3 + turned, named="xyxy").encoding.corners == "ordered"  # two errors
    assert detect(XYXY + turned, box_format="xyxy").encoding.corners == "ordered"  # as given, and in Pascal VOC


def test_two_formats_that_fit_equally_are_unclear_and_one_box_is_shown_as_both() -> None:
    assert detect([[20, 20, 30, 30]] * 4).unclear == (
        "20, 20, 30, 30, which is a box from (20, 20) to (30, 30) as xyxy, and a box from (20, 20) to (50, 50) as xywh"
    )
    assert detect([[20, 20, 30, 30]] * 4, named="xywh").unclear == ""


def test_boxes_of_which_most_fit_in_no_way_are_told_with_the_best_share() -> None:
    boxes = [[60, 50, 90, 70], *[[90, 70, 9999, 9999]] * 3]
    assert detect(boxes * 3, named="xyxy").misfit == 0.25
    assert detect(boxes, named="xyxy").misfit is None  # too few: each is a finding


def search(*lines: str, images: Path | None = None, **given: Any) -> DetectedColumns:
    header, *rows = (line.split(",") for line in lines)
    table = pd.DataFrame(rows, columns=header, dtype="str")
    return detect_columns(Path("x.csv"), 1, table, given, images=image_files(images))


def columns(*lines: str, images: Path | None = None) -> dict[str, Any]:
    return search(*lines, images=images).columns


def test_names_count_in_any_case_and_keep_their_spelling(tmp_path: Path) -> None:
    found = columns("FileName,Class,XMin,YMin,XMax,YMax,Width,Height", "a.jpg,cat,1,2,3,4,5,6")
    assert found == {
        "image": "FileName",
        "label": "Class",
        "box": ["XMin", "YMin", "XMax", "YMax"],
        "width": "Width",
        "height": "Height",
    }


def test_the_image_is_in_the_column_whose_values_end_as_images_do(tmp_path: Path) -> None:
    found = columns("who,photo,xmin,ymin,xmax,ymax", "Ann,a.jpg,1,2,3,4", "Bob,b.PNG,1,2,3,4")
    assert found["image"] == "photo"


def test_the_image_is_in_the_column_whose_values_are_files_below_the_images_folder(tmp_path: Path) -> None:
    (tmp_path / "images" / "sub").mkdir(parents=True)
    (tmp_path / "images" / "sub" / "a.jpg").write_bytes(b"")
    rows = ["who,photo,xmin,ymin,xmax,ymax", "Ann,sub/a.jpg,1,2,3,4"]
    assert columns(*rows, images=tmp_path / "images")["image"] == "photo"


def test_the_box_is_in_the_four_columns_of_numbers_that_remain_in_their_order(tmp_path: Path) -> None:
    found = search("image,d,c,who,b,a,width,height", "a.jpg,1,2.5,Ann,3e1,.4,9,9")
    assert found.columns["box"] == ["d", "c", "b", "a"]
    assert found.named.box_format is None
    assert "box column: d, c, b, a, the four columns of numbers that remain" in found.reasons


@pytest.mark.parametrize(
    "rows",
    [
        ["image,a,b,c,d,e", "a.jpg,1,2,3,4,5"],  # five
        ["image,a,b,c,d", "a.jpg,1,2,3,x"],  # three
        ["image,a,b,c,d"],  # no row
    ],
)
def test_a_box_in_other_than_four_columns_of_numbers_is_asked_for(tmp_path: Path, rows: list[str]) -> None:
    with pytest.raises(
        ValueError, match=r"x\.csv:1: columns_unknown: expected .*, got the columns .*; pass .*--box-columns, in"
    ):
        columns(*rows)


def test_every_column_has_a_reason() -> None:
    found = search("photo,kind,label,x,y,w,h", "a.jpg,1,cat,1,2,3,4", "b,2,cat,1,2,3,4", "c.jpg,,,,,,", label="kind")
    assert found.named == NamedColumns("xywh", "the columns are called x, y, w, h")
    assert found.reasons == (
        "image column: photo, since 2 of its 3 values are names of images",
        "label column: kind, as given",
        "box column: x, y, w, h, by their names",
    )


@pytest.mark.parametrize(
    ("lines", "box"),
    [
        (["Filename;Width;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2", "a.ppm;3;1;2;3;4"], "Roi.X1 Roi.Y1 Roi.X2 Roi.Y2"),
        (["ImageID;XMin;XMax;YMin;YMax", "a;.1;.2;.3;.4"], "XMin YMin XMax YMax"),
        (["image_name;bbox_x;bbox_y;bbox_width;bbox_height", "a.png;1;2;3;4"], "bbox_x bbox_y bbox_width bbox_height"),
        (["image_id;bbox", "a.png;[1, 2, 3, 4]"], "bbox[0] bbox[1] bbox[2] bbox[3]"),
        (["image_id;box", "a.png;{'x': 1, 'y': 2, 'w': 3, 'h': 4}"], "box.x box.y box.w box.h"),
        (["image;n;score;a;b;c;d", "a.png;0;1;1;2;3;4", "b.png;1;1;9;3;4;5", "c.png;2;1;3;9;5;9"], "a b c d"),
    ],
)
def test_a_box_is_found_by_names_with_a_prefix_in_lists_and_among_other_numbers(lines: list[str], box: str) -> None:
    header, *rows = (line.split(";") for line in lines)
    table = pd.DataFrame(rows, columns=header, dtype="str")
    assert detect_columns(Path("x.csv"), 1, table, {}).columns["box"] == (
        [name.strip() for name in re.findall(r"\S+", box)]
    )


def test_a_column_of_splits_and_the_only_text_that_repeats_are_found_without_names() -> None:
    found = columns("1,2,3,4,5,6,7", "TRAIN,a.jpg,cat,1,2,3,4", "TEST,b.jpg,cat,1,2,3,4", "TRAIN,c.jpg,dog,1,2,3,4")
    assert (found["split"], found["image"], found["label"]) == ("1", "2", "3")


@needs_mirror
def test_the_raccoons_boxes_are_counted_from_1() -> None:
    path = Path(MIRROR) / "datitran/raccoon_dataset/data/raccoon_labels.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    numbers = np.array([[float(row[key]) for key in ("xmin", "ymin", "xmax", "ymax")] for row in rows])
    sizes = np.array([[float(row["width"]), float(row["height"])] for row in rows])
    found = detect_encoding(numbers, sizes, given=BoxEncoding(), named=search(*path.read_text().splitlines()).named)
    assert found.encoding == BoxEncoding("xyxy", "pixel", 1)
    assert found.reasons[0].startswith("box_format: xyxy, since 217 of 217 boxes lie within their images")


@needs_mirror
def test_the_blood_cells_boxes_are_counted_from_1() -> None:
    folder = Path(MIRROR) / "Shenggan/BCCD_Dataset/BCCD/Annotations"
    config = DatasetConfig(title="bccd", format="voc", annotations="Annotations", images="JPEGImages")
    boxes = read_boxes(config, folder, images=None)
    assert len(boxes) == 4888
    coordinates, sizes, given = parse_coordinates(boxes), annotated_sizes(boxes), BoxEncoding("xyxy", "pixel")
    assert detect_encoding(coordinates, sizes, given=given, named=NamedColumns()).encoding.box_origin == 1


def test_boxes_drawn_on_pixels_from_0_are_counted_from_0() -> None:
    rng = np.random.default_rng(0)
    starts = rng.integers(0, 60, (2000, 2), endpoint=True)
    boxes = np.concatenate([starts, starts + rng.integers(5, 20, (2000, 2), endpoint=True)], axis=1)
    found = detect(boxes, named="xyxy", size=(80, 80))
    assert found.encoding == BoxEncoding("xyxy", "pixel", 0)
    assert (boxes == 1).any()  # some begin at 1
    assert (boxes == 80).any()  # and some end at the edge


def test_a_column_of_files_names_goes_before_one_called_id(tmp_path: Path) -> None:
    for number in range(1, 4):
        (tmp_path / f"{number}.jpg").write_bytes(b"")
    rows = ["id,photo,xmin,ymin,xmax,ymax", "1,3.jpg,1,2,3,4", "2,1.jpg,1,2,3,4", "3,2.jpg,1,2,3,4"]
    assert columns(*rows, images=tmp_path)["image"] == "photo"


@pytest.mark.parametrize(
    ("header", "box"),
    [
        ("image,x,y,bbox_x,bbox_y,bbox_w,bbox_h", "bbox_x bbox_y bbox_w bbox_h"),
        ("image,nose.x,nose.y,box.x,box.y,box.w,box.h", "box.x box.y box.w box.h"),
        ("image,min_row,min_col,max_row,max_col", "min_col min_row max_col max_row"),
    ],
)
def test_the_four_columns_of_a_box_are_of_one_group(header: str, box: str) -> None:
    assert columns(header, ",".join(["a.jpg", *"123456"][: header.count(",") + 1]))["box"] == box.split()


@pytest.mark.parametrize(
    "header", ["image,face.x1,face.y1,face.x2,face.y2,body.x1,body.y1,body.x2,body.y2", "image,x1,y1,x2,y2,x3,y3,x4,y4"]
)
def test_which_of_several_boxes_is_asked_for(header: str) -> None:
    with pytest.raises(ValueError, match=r"columns_unknown: .*; pass --box-columns, in"):
        columns(header, "a.jpg,1,2,3,4,5,6,7,8")


def test_the_sides_of_the_boxes_are_not_taken_for_those_of_the_images() -> None:
    rows = [f"{name}.jpg,10,20,{30 + i},{50 + i},{20 + i},{30 + i}" for i, name in enumerate("abc")]
    found = columns("image,xmin,ymin,xmax,ymax,width,height", *rows)
    assert "width" not in found
    assert "height" not in found
