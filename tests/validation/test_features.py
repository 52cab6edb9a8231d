"""The tables that the rules check: the columns of boxes, of images and of near-duplicates."""

from pathlib import Path

import pandas as pd
import pytest
from test_expectations import CONFIG_PATH, FILE, IMAGES, NO_COLUMNS, box_row, config, image_row, tables

from localizer.dataset import CsvColumns, DatasetConfig
from localizer.datasets.prepare import Tables
from localizer.tables import EDGES, Table
from localizer.validation.features import box_table, column_table, image_table
from localizer.validation.result import ValidationResult
from localizer.validation.validate import validate

Rows = list[dict[str, str]]
ZEROS = "0" * 64  # hashes of 256 bits in hex digits
FOUR_OFF = "f" + "0" * 63
MIRRORED = "5" * 64  # what mirroring turns of all zeros


def boxes_of(rows: Rows, *others: dict[str, str], of: DatasetConfig | None = None) -> Table:
    return box_table(*tables(rows, *others, of=of), of or config())


def images_of(rows: Rows, *others: dict[str, str], of: DatasetConfig | None = None) -> Table:
    """Return the table of images, by name."""
    annotations, images = tables(rows, *others, of=of)
    return image_table(images, box_table(annotations, images, of or config())).set_index("image", drop=False)


def result_of(rows: Rows, *others: dict[str, str], of: DatasetConfig) -> ValidationResult:
    return validate(Tables(*tables(rows, *others, of=of), NO_COLUMNS), of, image_size=20, config_path=CONFIG_PATH)


STICKING_OUT = [
    box_row(2, "inside.jpg", "10 10 60 50"),
    box_row(3, "right.jpg", "10 10 102 50"),
    box_row(4, "corner.jpg", "-1.5 -2 60 50"),
    box_row(5, "too_far.jpg", "10 10 102.5 50"),
    box_row(6, "whole.jpg", "-2 -2 102 82"),
    box_row(7, "outside.jpg", "100 10 102 50"),
    box_row(8, "words.jpg", "10 ten 102 50"),
    box_row(9, "turned.jpg", "102 10 10 50"),
    box_row(10, "cut.jpg", "10 10 102 50"),
]
CUT = image_row("cut.jpg", decodes="False", problem="cut", width="0", height="0")


def test_boxes_are_clipped_where_they_stick_out_by_no_more_than_clip_px_allows() -> None:
    table = boxes_of(STICKING_OUT, CUT, of=config(clip_px=2)).set_index("image")
    clipped = table[table["clipped_px"].notna()]
    assert clipped["clipped_px"].to_dict() == {"right.jpg": 2, "corner.jpg": 2, "whole.jpg": 2}
    assert clipped[EDGES].to_numpy().tolist() == [[10, 10, 100, 50], [0, 0, 60, 50], [0, 0, 100, 80]]


@pytest.mark.parametrize(
    ("image", "edges"),
    [
        ("inside.jpg", [10, 10, 60, 50]),
        ("too_far.jpg", [10, 10, 102.5, 50]),
        ("outside.jpg", [100, 10, 102, 50]),
        ("turned.jpg", [102, 10, 10, 50]),
        ("cut.jpg", [10, 10, 102, 50]),
    ],
)
def test_other_boxes_stay_as_they_are(image: str, edges: list[float]) -> None:
    table = boxes_of(STICKING_OUT, CUT, of=config(clip_px=2)).set_index("image")
    assert table.loc[image, EDGES].to_numpy().tolist() == edges


def test_without_clip_px_nothing_is_clipped() -> None:
    table = boxes_of(STICKING_OUT[1:2])
    assert table[EDGES].to_numpy().tolist() == [[10, 10, 102, 50]]
    assert "clipped_px" not in table


def test_a_box_is_clipped_by_what_its_edges_stick_out_whatever_its_origin_and_format() -> None:
    of = config(clip_px=1, box_format="xywh", box_origin=1)
    # From 1: the first pixel to one beyond the 100th.
    table = boxes_of([box_row(2, "a.jpg", "1 1 101 50")], of=of)
    assert table[[*EDGES, "clipped_px"]].to_numpy().tolist() == [[0, 0, 100, 50, 1]]


@pytest.fixture(scope="module")
def clipped() -> ValidationResult:
    return result_of(STICKING_OUT, CUT, of=config(clip_px=2, on_bad_row="quarantine", max_bad_fraction=0.9))


def test_clipped_rows_are_warned_of_row_by_row(clipped: ValidationResult) -> None:
    found = [finding for finding in clipped.findings if finding.rule == "clipped"]
    assert [(finding.line, finding.severity, finding.got) for finding in found] == [
        (3, "warning", "a box that protrudes by 2 px"),
        (4, "warning", "a box that protrudes by 2 px"),
        (6, "warning", "a box that protrudes by 2 px"),
    ]
    assert found[0].fix == "nothing: it was clipped, as `clip_px` of data/mine/dataset.yaml allows"


def test_clipped_rows_are_clean_with_clipped_edges(clipped: ValidationResult) -> None:
    clean = clipped.clean.set_index("line")
    assert clean[EDGES].to_numpy().tolist() == [[0, 0, 60, 50], [10, 10, 60, 50], [10, 10, 100, 50], [0, 0, 100, 80]]
    assert list(clean.index) == ["4", "2", "3", "6"]


def test_boxes_that_are_not_clipped_are_outside_their_images(clipped: ValidationResult) -> None:
    found = [(finding.line, finding.got) for finding in clipped.findings if finding.rule == "outside_image"]
    assert found == [
        (5, "the right edge at 102.5 px"),
        (7, "the right edge at 102 px"),
        (8, "the right edge at 102 px"),  # as its top is unknown, the box is not clipped
    ]


@pytest.mark.parametrize("orientation", ["5", "6", "7", "8"])
def test_a_size_from_before_the_rotation_is_reported_as_such(orientation: str) -> None:
    table = boxes_of([box_row(2, "a.jpg", "1 1 9 9", size="80 100")], image_row("a.jpg", orientation=orientation))
    assert list(table["size_fix"]) == [
        "size and box are from before the EXIF rotation; take them from the upright image"
    ]


@pytest.mark.parametrize("orientation", ["1", "2", "3", "4"])
def test_a_swapped_size_of_an_image_that_is_not_turned_is_reported_as_swapped(orientation: str) -> None:
    table = boxes_of([box_row(2, "a.jpg", "1 1 9 9", size="80 100")], image_row("a.jpg", orientation=orientation))
    assert list(table["size_fix"]) == ["swap width and height; are the box's values swapped, too?"]


@pytest.mark.parametrize("size", ["200 80", "80 80", "100 81"])
def test_another_size_may_be_another_images(size: str) -> None:
    table = boxes_of([box_row(2, "a.jpg", "1 1 9 9", size=size)], image_row("a.jpg", orientation="6"))
    assert list(table["size_fix"]) == ["correct the size; is the box of this image?"]


def test_a_size_that_agrees_needs_no_fix() -> None:
    assert boxes_of([box_row(2, "a.jpg", "1 1 9 9")])["size_fix"].isna().all()


BEFORE_ROTATION = "the box fits the image before its EXIF rotation: draw it on the upright image, as viewers show it"


@pytest.mark.parametrize(
    ("orientation", "box", "fits_unrotated"),
    [
        *((turned, "10 10 60 95", True) for turned in ("5", "6", "7", "8")),
        *((upright, "10 10 60 95", False) for upright in ("1", "2", "3", "4")),
        ("6", "10 10 60 101", False),  # the unrotated image has 80 x 100 pixels
        ("6", "-1 10 60 95", False),
        ("6", "10 10 81 95", False),
    ],
)
def test_a_box_that_fits_only_the_unrotated_image_is_reported_as_such(
    orientation: str, box: str, fits_unrotated: bool
) -> None:
    (fix,) = boxes_of([box_row(2, "a.jpg", box)], image_row("a.jpg", orientation=orientation))["edge_fix"]
    assert (fix == BEFORE_ROTATION) == fits_unrotated
    assert fits_unrotated or fix.startswith("correct the box; or are the boxes in another format? set `box_format`")


@pytest.mark.parametrize(
    ("changed", "other"),
    [
        ({"box_units": "unit"}, "in pixels? set box_units: pixel in"),
        ({"box_origin": 1}, "counted from 0? set box_origin: 0 in"),
        ({}, "in another format? set `box_format` in"),
    ],
)
def test_the_fix_of_a_box_beyond_its_image_names_what_the_config_may_declare(
    changed: dict[str, object], other: str
) -> None:
    of = config(**changed)
    (fix,) = boxes_of([box_row(2, "a.jpg", "0.5 0.5 120 0.75")], of=of)["edge_fix"]
    assert f"or are the boxes {other} data/NAME/dataset.yaml" in fix


@pytest.mark.parametrize("form", ["voc", "coco", "yolo"])
def test_where_the_format_declares_how_boxes_are_written_only_the_box_can_be_wrong(form: str) -> None:
    of = config(format=form, columns=None)
    (fix,) = boxes_of([box_row(2, "a.jpg", "0.5 0.5 120 0.75")], of=of)["edge_fix"]
    assert fix == "correct the box"


def test_a_box_within_its_image_needs_no_fix() -> None:
    assert boxes_of([box_row(2, "a.jpg", "0 0 100 80")])["edge_fix"].isna().all()


def test_a_rotated_image_with_a_box_of_the_unrotated_image_is_found_by_the_rules() -> None:
    rows = [box_row(2, "a.jpg", "10 10 60 95", size="80 100")]
    result = result_of(rows, image_row("a.jpg", orientation="6"), of=config())
    fixes = {(finding.rule, finding.column): finding.fix for finding in result.findings if finding.row is not None}
    turned_size = "size and box are from before the EXIF rotation; take them from the upright image"
    assert fixes == {
        ("outside_image", "lower"): BEFORE_ROTATION,
        ("size_disagrees", "width"): turned_size,
        ("size_disagrees", "height"): turned_size,
    }


def test_places_are_lines_and_name_the_file_where_there_are_several() -> None:
    rows = [box_row(2, "a.jpg", "1 1 9 9"), box_row(3, "b.jpg", "1 1 9 9")]
    assert list(boxes_of(rows)["place"]) == ["line 2", "line 3"]
    rows[1]["file"] = "b.xml"
    assert list(boxes_of(rows)["place"]) == [f"{FILE}:2", "b.xml:3"]


def test_places_of_json_are_the_elements() -> None:
    rows = [box_row(1, "a.jpg", "1 1 9 9") | {"line": "", "element": f"annotations[{i}] (id 7)"} for i in (0, 1)]
    table = boxes_of(rows)
    assert list(table["place"]) == ["annotations[0] (id 7)", "annotations[1] (id 7)"]
    assert list(table["first_place"]) == ["annotations[0] (id 7)"] * 2


def test_an_image_that_is_given_two_splits_names_both_and_where() -> None:
    splits = ("Train", "train ", "TEST", "", "val", "val", "", "")
    images = ("a.jpg", "a.jpg", "a.jpg", "a.jpg", "b.jpg", "b.jpg", "c.jpg", "c.jpg")
    rows = [box_row(2 + row, images[row], f"{row} 1 9 9", split=splits[row]) for row in range(8)]
    table = boxes_of(rows)
    assert list(table["given_splits"][:4]) == ["Train (line 2), TEST (line 4), none (line 5)"] * 4
    assert table["given_splits"][4:].isna().all()


def test_rows_of_one_image_in_two_splits_are_critical_and_of_another_label_a_warning() -> None:
    columns = CsvColumns(image="photo", box=["left", "upper", "right", "lower"], label="kind", split="set")
    rows = [
        box_row(2, "a.jpg", "1 1 9 9", split="train"),
        box_row(3, "a.jpg", "20 20 60 60", label="dog", split="test"),
        box_row(4, "b.jpg", "1 1 9 9", split="test"),
    ]
    result = result_of(rows, of=config(columns=columns, label="cat", on_bad_row="quarantine", max_bad_fraction=0.5))
    found = [finding for finding in result.findings if finding.rule == "split_disagrees"]
    assert [(finding.line, finding.severity) for finding in found] == [(2, "critical"), (3, "warning")]
    assert str(found[0]) == (
        f"{FILE}:2:set: split_disagrees: expected one split for 'a.jpg', got train (line 2), test (line 3); "
        "give all rows of the image the same split"
    )
    assert list(result.clean["image"]) == ["b.jpg"]
    assert list(result.quarantine["given_split"]) == ["train"]


COPIES = (image_row("a.jpg", phash=ZEROS), image_row("b.jpg", phash=FOUR_OFF))


def test_images_that_look_the_same_name_each_other_and_how_far_their_boxes_agree() -> None:
    # 50 x 40 pixels, of which 40 x 40 are shared: 1600 of 2000 + 2000 - 1600.
    table = images_of([box_row(2, "a.jpg", "10 10 60 50"), box_row(3, "b.jpg", "20 10 70 50")], *COPIES)
    assert list(table["near_duplicates"]) == ["b.jpg (4 of 256 hash bits differ)", "a.jpg (4 of 256 hash bits differ)"]
    assert list(table["box_iou"]) == ["; their boxes agree at an IoU of 0.67"] * 2


def test_boxes_of_a_resized_copy_are_compared_as_shares() -> None:
    resized = image_row("b.jpg", phash=FOUR_OFF, width="50", height="40")
    rows = [box_row(2, "a.jpg", "10 10 60 50"), box_row(3, "b.jpg", "5 5 30 25", size="50 40")]
    table = images_of(rows, COPIES[0], resized)
    assert list(table["box_iou"]) == ["; their boxes agree at an IoU of 1.00"] * 2


def test_of_three_copies_each_tells_the_lowest_iou_of_its_own_pairs() -> None:
    others = (*COPIES, image_row("c.jpg", phash="ff" + "0" * 62))
    rows = [box_row(2, "a.jpg", "10 10 60 50"), box_row(3, "b.jpg", "10 10 60 50"), box_row(4, "c.jpg", "20 10 70 50")]
    table = images_of(rows, *others)
    # a - b and b - c differ by four bits each, and join all three.
    assert list(table["near_duplicates"]) == [
        "b.jpg (4 of 256 hash bits differ)",
        "a.jpg (4 of 256 hash bits differ), c.jpg (4 of 256 hash bits differ)",
        "b.jpg (4 of 256 hash bits differ)",
    ]
    assert [text[-4:] for text in table["box_iou"]] == ["1.00", "0.67", "0.67"]


def test_a_mirrored_copy_is_named_and_its_box_compared_after_mirroring() -> None:
    rows = [box_row(2, "a.jpg", "10 10 60 50"), box_row(3, "b.jpg", "10 10 60 50")]
    table = images_of(rows, COPIES[0], image_row("b.jpg", phash=MIRRORED))
    assert table.loc["a.jpg", "near_duplicates"] == "b.jpg (mirrored, 0 of 256 hash bits differ)"
    # Mirrored in 100 px, 10 to 60 is 40 to 90: 20 x 40 px of 2 x 2000 - 800 are shared.
    assert list(table["box_iou"]) == ["; their boxes agree at an IoU of 0.25"] * 2


def test_copies_with_several_boxes_are_not_compared() -> None:
    rows = [box_row(2, "a.jpg", "10 10 60 50"), box_row(3, "b.jpg", "1 1 9 9"), box_row(4, "b.jpg", "10 10 60 50")]
    assert list(images_of(rows, *COPIES)["box_iou"]) == ["", ""]


def test_equal_files_name_each_other_and_are_no_near_duplicates_too() -> None:
    others = (image_row("a.jpg", sha256="s", phash=ZEROS), image_row("b.jpg", sha256="s", phash=ZEROS))
    table = images_of([box_row(2, "a.jpg", "10 10 60 50"), box_row(3, "b.jpg", "20 10 70 50")], *others)
    assert list(table["equal_files"]) == [f"{IMAGES}/a.jpg, {IMAGES}/b.jpg"] * 2
    assert table["near_duplicates"].isna().all()
    assert list(table["box_iou"]) == ["; their boxes agree at an IoU of 0.67"] * 2


def test_images_like_no_other_have_no_copies() -> None:
    table = images_of([box_row(2, "a.jpg", "10 10 60 50"), box_row(3, "b.jpg", "20 10 70 50")])
    assert table[["equal_files", "near_duplicates", "colliding_paths"]].isna().all(axis=None)
    assert list(table["box_iou"]) == ["", ""]


def test_files_that_could_not_be_read_are_not_equal() -> None:
    gone = [image_row(name, exists="False", decodes="False", sha256="") for name in ("a.jpg", "b.jpg")]
    table = images_of([box_row(2, "a.jpg", "1 1 9 9"), box_row(3, "b.jpg", "1 1 9 9")], *gone)
    assert table["equal_files"].isna().all()


@pytest.mark.parametrize("names", [("A.jpg", "a.jpg"), ("straße.jpg", "STRASSE.jpg")])
def test_names_that_differ_in_case_only_are_alike(names: tuple[str, str]) -> None:
    table = images_of([box_row(line, name, "1 1 9 9") for line, name in enumerate(names, start=2)])
    assert list(table["colliding_paths"]) == [", ".join(names)] * 2


def test_names_that_look_the_same_are_spelled_so_that_they_differ() -> None:
    one, other = "caf\u00e9.jpg", "cafe\u0301.jpg"
    table = images_of([box_row(2, one, "1 1 9 9"), box_row(3, other, "1 1 9 9")])
    assert list(table["colliding_paths"]) == ["caf\u00e9.jpg, cafe\\u0301.jpg"] * 2


def test_an_annotated_side_of_0_is_unknown_and_any_other_is_compared() -> None:
    rows = [box_row(2, "a.jpg", "1 1 9 9", size="0 0"), box_row(3, "a.jpg", "2 1 9 9", size="0.0 7")]
    table = boxes_of(rows)
    assert table[["annotated_width", "annotated_height"]].fillna(-1).to_numpy().tolist() == [[-1, -1], [-1, 7]]


@pytest.mark.parametrize(
    ("name", "kind", "fits"),
    [
        *(("a.jpg", "JPEG", "True"), ("a.jpeg", "JPEG", "True"), ("a.JPG", "JPEG", "True"), ("a.png", "PNG", "True")),
        *(("a.tif", "TIFF", "True"), ("a.webp", "WEBP", "True"), ("a.b.png", "PNG", "True")),
        *(("a.jpg", "MPO", "True"), ("a.mpo", "MPO", "True"), ("a.mpo", "JPEG", "True"), ("a.png", "MPO", "False")),
        *(
            ("a.jpg", "PNG", "False"),
            ("a.JPEG", "WEBP", "False"),
            ("a.gif", "PNG", "False"),
            ("a.png", "JPEG", "False"),
        ),
        *(("a.photo", "JPEG", "True"), ("a", "JPEG", "True"), ("007", "PNG", "True"), ("jpg", "PNG", "True")),
        *(("png.d/a", "JPEG", "True"), ("a.png/b.jpg", "JPEG", "True")),
    ],
)
def test_a_suffix_fits_if_it_is_one_of_the_format_or_tells_none(name: str, kind: str, fits: str) -> None:
    table = images_of([box_row(2, name, "1 1 9 9")], image_row(name, format=kind))
    assert list(table["suffix_fits"]) == [fits]


def test_an_image_that_does_not_decode_has_neither_suffix_nor_sides_to_check() -> None:
    table = images_of(STICKING_OUT, CUT)
    assert table.loc["cut.jpg", ["suffix_fits", "shorter_side"]].isna().all()
    assert table.loc["inside.jpg", ["suffix_fits", "shorter_side"]].to_numpy().tolist() == ["True", 80]


def test_a_bad_image_has_the_lines_of_its_rows() -> None:
    rows = [*STICKING_OUT, box_row(11, "cut.jpg", "1 1 9 9")]
    table = images_of(rows, CUT)
    assert table.loc["cut.jpg", "rows"] == " (line 10, line 11)"
    assert table.loc["inside.jpg", "rows"] == ""


def test_an_image_is_checked_if_a_checked_box_is_in_it() -> None:
    rows = [box_row(2, "a.jpg", "1 1 9 9"), box_row(3, "b.jpg", "1 1 9 9", label="dog"), box_row(4, "c.jpg", "1 1 9 9")]
    rows[2]["label"] = ""
    spare = image_row("spare.jpg", annotated="False")
    checked = images_of(rows, spare, of=config(label="cat"))["checked"].to_dict()
    assert checked == {"a.jpg": True, "b.jpg": False, "c.jpg": True, "spare.jpg": False}


def test_a_column_that_nothing_uses_has_no_use() -> None:
    columns = pd.DataFrame({"file": FILE, "line": "1", "column": ["photo", "note"], "used_as": ["image", ""]})
    table = column_table(columns)
    assert table["used_as"].isna().tolist() == [False, True]
    assert list(table["place"]) == ["photo", "note"]


def test_a_table_without_a_file_of_docs_leaves_nothing_behind(tmp_path: Path) -> None:
    result_of([box_row(2, "a.jpg", "1 1 9 9")], of=config())
    assert list(tmp_path.iterdir()) == []
