"""What annotations are, told by looking at all of them: format, columns, and how boxes are written."""

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from localizer.boxes import Array, BoxFormat
from localizer.datasets.detection.box_encoding import (
    BoxEncoding,
    Guess,
    annotation_format,
    detect_encoding,
    trust_names,
)
from localizer.datasets.detection.columns import guess_columns
from localizer.datasets.readers.voc import read_voc

MIRROR = os.environ.get("LOCALIZER_MIRROR", "")
needs_mirror = pytest.mark.skipif(not MIRROR, reason="LOCALIZER_MIRROR names no mirror")

SIZE = (100, 80)
# Ten boxes in images of 100 x 80, of which each leaves the image or turns over when it is read in another way.
XYXY = [[40 + i, 30 + i, 90 + i, 60 + i] for i in range(10)]
XYWH = [[40 + i, 30 + i, 50, 30] for i in range(10)]
XYHW = [[40 + i, 60 + i / 2, 15, 50] for i in range(10)]
CXCYWH = [[60 + i, 40 + i, 50, 30] for i in range(10)]


def guess(boxes: Any, *, named: BoxFormat | None = None, size: tuple[float, float] = SIZE, **told: Any) -> Guess:
    numbers: Array = np.array(boxes, dtype=np.float64)
    sizes = np.tile(np.array(size, dtype=np.float64), (len(numbers), 1))
    return detect_encoding(
        numbers, sizes, told=BoxEncoding(**told), named=named, names="the columns are called a, b, c, d"
    )


@pytest.mark.parametrize(("boxes", "box_format"), [(XYXY, "xyxy"), (XYWH, "xywh"), (XYHW, "xyhw"), (CXCYWH, "cxcywh")])
def test_without_names_boxes_are_read_as_most_of_them_lie_within_their_images(boxes: Any, box_format: str) -> None:
    assert guess(boxes).box_format == box_format


def test_the_reason_counts_the_boxes_of_every_reading() -> None:
    # xywh: 40 + 90 > 100. cxcywh: 40 - 90 / 2 < 0. xyhw: 40 + 60 <= 100, but 30 + 90 > 80.
    assert guess(XYXY, named="xyxy").reasons == (
        "box_format: xyxy, since 10 of 10 boxes lie within their images read so (xywh: 0, cxcywh: 0, xyhw: 0), "
        "and the columns are called a, b, c, d",
        "box_units: pixel, since 10 of 10 boxes have a value above 1",
        "box_origin: 0, since 0 boxes begin at 1, and 0 end at their image's edge, 0 beyond it",
    )


def test_names_that_most_boxes_contradict_are_not_believed() -> None:
    found = guess(XYWH, named="xyxy")
    assert found.box_format == "xywh"
    assert found.reasons[0].endswith(", although the columns are called a, b, c, d")


@pytest.mark.parametrize(("outside", "box_format"), [(10, "xywh"), (11, "xyxy")])
def test_names_are_believed_while_nine_of_ten_boxes_fit_them(outside: int, box_format: str) -> None:
    fits_both, only_xyxy = [1, 1, 5, 5], [60, 50, 90, 70]  # 60 + 90 > 100
    boxes = [fits_both] * (100 - outside) + [only_xyxy] * outside
    assert guess(boxes, named="xywh").box_format == box_format


def test_names_are_believed_where_no_other_reading_fits_either() -> None:
    # Half are xyxy alone, and half xywh alone: no reading fits 99%.
    mixed = [[60, 50, 90, 70], [60, 50, 30, 20]] * 5
    assert guess(mixed, named="xywh").box_format == "xywh"


def test_of_readings_that_fit_equally_the_named_one_is_taken_then_xyxy() -> None:
    boxes = [[20, 20, 30, 30]] * 4  # within 100 x 80 as xyxy, xywh, cxcywh and xyhw
    assert guess(boxes, named="cxcywh").box_format == "cxcywh"
    assert guess(boxes).box_format == "xyxy"


def test_what_is_told_wins_over_all_evidence() -> None:
    found = guess(XYWH, named="xywh", box_format="xyxy", box_units="unit", box_origin=0)
    assert (found.box_format, found.box_units, found.box_origin) == ("xyxy", "unit", 0)
    assert found.reasons == ("box_format: xyxy, as told", "box_units: unit, as told", "box_origin: 0, as told")


def test_rows_that_are_no_numbers_do_not_count() -> None:
    found = guess([*XYWH, [np.nan, 1, 2, 3]], named="xyxy")
    assert found.reasons[0].startswith("box_format: xywh, since 10 of 10 boxes")


def test_without_one_box_of_four_numbers_the_names_are_taken() -> None:
    found = guess([[np.nan] * 4], named="cxcywh")
    assert (found.box_format, found.box_units, found.box_origin) == ("cxcywh", "pixel", 0)


def test_where_no_size_is_known_boxes_count_that_are_well_formed() -> None:
    found = guess([[60, 50, 30, 20], [70, 5, 40, 9]], named="xyxy", size=(np.nan, np.nan))
    assert found.box_format == "xywh"
    assert "since 2 of 2 boxes are well-formed read so (xyxy: 0, cxcywh: 2, xyhw: 2)" in found.reasons[0]


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
def test_boxes_without_a_value_above_1_are_shares(boxes: Any, units: str) -> None:
    assert guess(boxes).box_units == units


def test_shares_are_counted_without_any_size() -> None:
    found = guess([[0.5, 0.5, 0.8, 0.4]], size=(np.nan, np.nan))  # as xywh it ends at 1.3
    assert (found.box_format, found.box_units) == ("cxcywh", "unit")


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
    assert guess(boxes, box_format=box_format).box_origin == origin


def test_the_reason_of_an_origin_counts_the_edges() -> None:
    boxes = [[1, 5, 50, 50]] * 3 + [[20, 20, 100, 60]] * 4
    edges = "3 begin at 1, and 4 end at their image's edge, none beyond it"
    assert guess(boxes, box_format="xyxy").reasons[2] == f"box_origin: 1, since no box begins below 1, {edges}"


@pytest.mark.parametrize("told", [{}, {"box_origin": 1}], ids=["seen", "told"])
def test_a_side_that_is_counted_from_1_fits_up_to_the_last_pixel(told: dict[str, Any]) -> None:
    # 61 + 40 is 101, but the last pixel is 61 + 40 - 1; as xyxy and xyhw they fit too, but for the second.
    boxes = [[1, 5, 49, 45]] * 3 + [[61, 20, 40, 61]] * 3
    found = guess(boxes, named="xywh", **told)
    assert (found.box_format, found.box_origin) == ("xywh", 1)
    assert found.reasons[0].startswith("box_format: xywh, since 6 of 6 boxes lie within their images read so")


def test_shares_have_the_origin_0() -> None:
    assert guess([[1.0, 0.5, 1.0, 1.0]], box_units="unit", size=(1, 1)).box_origin == 0


def test_trusted_names_need_no_box() -> None:
    found = trust_names(BoxEncoding(), "xywh", "the columns are called x, y, w, h")
    assert (found.box_format, found.box_units, found.box_origin) == ("xywh", "pixel", 0)
    assert found.reasons == ("box_format: xywh, since the columns are called x, y, w, h",)


@pytest.mark.parametrize(
    ("files", "target", "kind"),
    [
        (["a.csv"], "a.csv", "csv"),
        (["a.tsv"], "a.tsv", "csv"),
        (["labels"], "labels", "csv"),
        (["a.JSON"], "a.JSON", "coco"),
        (["x/a.xml", "x/a.jpg"], "x", "voc"),
        (["x/train/a.xml", "x/classes.txt"], "x", "voc"),
        (["x/a.txt", "x/data.yaml"], "x", "yolo"),
        (["x/train/a.txt"], "x", "yolo"),
    ],
)
def test_the_format_is_told_by_the_files(tmp_path: Path, files: list[str], target: str, kind: str) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("")
    assert annotation_format(tmp_path / target) == kind


@pytest.mark.parametrize(
    ("files", "there"),
    [
        ([], "nothing"),
        (["a.jpg", "b.jpg", "readme"], "2 .jpg, 1 no suffix"),
        (["a.xml", "a.txt"], "1 .txt, 1 .xml"),
        (["classes.txt"], "1 .txt"),
    ],
)
def test_a_folder_of_no_format_or_of_two_is_refused_and_what_is_there_is_told(
    tmp_path: Path, files: list[str], there: str
) -> None:
    (tmp_path / "x").mkdir()
    for file in sorted(files):
        (tmp_path / "x" / file).write_text("")
    with pytest.raises(
        ValueError, match=r"x: format_unknown: expected a folder of Pascal VOC's \.xml files or one of .*, got .*"
    ) as error:
        annotation_format(tmp_path / "x")
    listed = str(error.value).split(", got ")[1].split("; ")[0]
    assert sorted(listed.split(", ")) == sorted(there.split(", "))


def test_annotations_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere: no such file or folder"):
        annotation_format(tmp_path / "nowhere")


def columns(path: Path, *lines: str, images: Path | None = None, **chosen: Any) -> dict[str, Any]:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return guess_columns(path, chosen, images=images).columns


def test_names_count_in_any_case_and_are_taken_as_they_are_spelt(tmp_path: Path) -> None:
    found = columns(tmp_path / "x.csv", "FileName,Class,XMin,YMin,XMax,YMax,Width,Height", "a.jpg,cat,1,2,3,4,5,6")
    assert found == {
        "image": "FileName",
        "label": "Class",
        "box": ["XMin", "YMin", "XMax", "YMax"],
        "width": "Width",
        "height": "Height",
    }


def test_the_image_is_in_the_column_whose_values_end_as_images_do(tmp_path: Path) -> None:
    found = columns(tmp_path / "x.csv", "who,photo,xmin,ymin,xmax,ymax", "Ann,a.jpg,1,2,3,4", "Bob,b.PNG,1,2,3,4")
    assert found["image"] == "photo"


def test_the_image_is_in_the_column_whose_values_are_files_below_the_images_folder(tmp_path: Path) -> None:
    (tmp_path / "images" / "sub").mkdir(parents=True)
    (tmp_path / "images" / "sub" / "a.jpg").write_bytes(b"")
    rows = ["who,photo,xmin,ymin,xmax,ymax", "Ann,sub/a.jpg,1,2,3,4"]
    assert columns(tmp_path / "x.csv", *rows, images=tmp_path / "images")["image"] == "photo"


def test_the_box_is_in_the_four_columns_of_numbers_that_remain_in_their_order(tmp_path: Path) -> None:
    found = guess_columns(
        _written(tmp_path / "x.csv", "image,d,c,who,b,a,width,height", "a.jpg,1,2.5,Ann,3e1,.4,9,9"), {}
    )
    assert found.columns["box"] == ["d", "c", "b", "a"]
    assert found.named is None
    assert "box column: d, c, b, a, the four columns of numbers that remain" in found.reasons


def _written(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    "rows",
    [
        ["image,a,b,c,d,e", "a.jpg,1,2,3,4,5"],  # five
        ["image,a,b,c,d", "a.jpg,1,2,3,x"],  # three
        ["image,a,b,c,d", "a.jpg,1,2,3,4", "a.jpg,1,2,3,"],  # a value is missing
        ["image,a,b,c,d"],  # no row
    ],
)
def test_a_box_in_other_than_four_columns_of_numbers_is_asked_for(tmp_path: Path, rows: list[str]) -> None:
    with pytest.raises(ValueError, match=r"x\.csv:1: columns_unknown: .*, got the columns .*; say --box-columns, in"):
        columns(tmp_path / "x.csv", *rows)


def test_every_column_has_a_reason(tmp_path: Path) -> None:
    path = _written(
        tmp_path / "x.csv", "photo,kind,label,x,y,w,h", "a.jpg,1,cat,1,2,3,4", "b,2,cat,1,2,3,4", "c.jpg,,,,,,"
    )
    found = guess_columns(path, {"label": "kind", "group": None})
    assert found.named == "xywh"
    assert found.reasons == (
        "label column: kind, as told",
        "box column: x, y, w, h, by its name",
        "image column: photo, since 2 of its 3 values are names of images",
    )


def test_semicolons_are_told_from_missing_columns(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"x\.csv:1: semicolons: expected commas, got semicolons"):
        columns(tmp_path / "x.csv", "image;xmin;ymin;xmax;ymax", "a;1;2;3;4")


@needs_mirror
def test_the_raccoons_boxes_are_counted_from_1() -> None:
    path = Path(MIRROR) / "datitran/raccoon_dataset/data/raccoon_labels.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    numbers = np.array([[float(row[key]) for key in ("xmin", "ymin", "xmax", "ymax")] for row in rows])
    sizes = np.array([[float(row["width"]), float(row["height"])] for row in rows])
    found = detect_encoding(numbers, sizes, told=BoxEncoding(), named=guess_columns(path, {}).named, names="")
    assert (found.box_format, found.box_units, found.box_origin) == ("xyxy", "pixel", 1)
    assert found.reasons[0].startswith("box_format: xyxy, since 217 of 217 boxes lie within their images read so")


@needs_mirror
def test_the_blood_cells_boxes_are_counted_from_1() -> None:
    rows = list(read_voc(Path(MIRROR) / "Shenggan/BCCD_Dataset/BCCD/Annotations"))
    numbers = np.array([[float(value) for value in row[6:10]] for row in rows])
    sizes = np.array([[float(row.width), float(row.height)] for row in rows])
    assert len(rows) == 4888
    assert detect_encoding(numbers, sizes, told=BoxEncoding("xyxy", "pixel"), named=None, names="").box_origin == 1


def test_boxes_drawn_on_pixels_from_0_are_counted_from_0() -> None:
    rng = np.random.default_rng(0)
    starts = rng.integers(0, 60, (2000, 2), endpoint=True)
    boxes = np.concatenate([starts, starts + rng.integers(5, 20, (2000, 2), endpoint=True)], axis=1)
    found = guess(boxes, named="xyxy", size=(80, 80))
    assert (found.box_format, found.box_units, found.box_origin) == ("xyxy", "pixel", 0)
    assert (boxes == 1).any()  # some begin at 1
    assert (boxes == 80).any()  # and some end at the edge
