"""COCO files: one row per annotation, values as they are written; faults name the element and its id."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from localizer.dataset import DatasetConfig
from localizer.datasets.readers import coco
from localizer.datasets.readers.row import BackgroundImage, Ignored, Item, Row
from localizer.findings import BadFileError

CONFIG = DatasetConfig(title="toy", format="coco", annotations="all.json", images="images")
FILE = """{
  "info": {"year": 2024},
  "images": [
    {"id": 7, "file_name": "a.jpg", "width": 640, "height": 480},
    {"id": 8, "file_name": "sub/b.jpg"}
  ],
  "annotations": [
    {"id": 1, "image_id": 8, "category_id": 3, "bbox": [1, 2.50, 3e1, 4]},

    {"id": 2, "image_id": 7,
     "category_id": 4, "bbox": [5, 6, 7, 8]}
  ],
  "categories": [{"id": 3, "name": "cat"}, {"id": 4, "name": "dog"}]
}
"""


def items(folder: Path, text: str | bytes) -> list[Item]:
    path = folder / "all.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(coco.read(path, CONFIG, None))


def read(folder: Path, text: str | bytes) -> list[Row]:
    return [item for item in items(folder, text) if isinstance(item, Row)]


def content(*annotations: Any, **changed: Any) -> str:
    """Return a file of one image and one category with the annotations."""
    image = '{"id": 1, "file_name": "a.jpg"}'
    lists = {"images": f"[{image}]", "categories": '[{"id": 1, "name": "cat"}]'} | changed
    lines = ",\n".join(one if isinstance(one, str) else json.dumps(one) for one in annotations)
    return "{" + "".join(f'"{key}": {value},\n' for key, value in lists.items()) + f'"annotations": [\n{lines}]}}'


def box(*values: Any, **changed: Any) -> dict[str, Any]:
    return {"image_id": 1, "category_id": 1, "bbox": list(values)} | changed


def faults(folder: Path, text: str | bytes) -> list[str]:
    """Return the faults of the file, each without its path and without what to do."""
    with pytest.raises(BadFileError) as error:
        read(folder, text)
    path = (folder / "all.json").as_posix()
    return [str(finding).removeprefix(path).split("; ")[0] for finding in error.value.findings]


def test_each_annotation_is_a_row_with_its_place_and_id(tmp_path: Path) -> None:
    file = (tmp_path / "all.json").as_posix()
    assert read(tmp_path, FILE) == [
        Row(file, None, "annotations[0] (id 1)", "sub/b.jpg", "cat", "", "1", "2.50", "3e1", "4", "", ""),
        Row(file, None, "annotations[1] (id 2)", "a.jpg", "dog", "", "5", "6", "7", "8", "640", "480"),
    ]


def test_the_lists_may_come_in_any_order(tmp_path: Path) -> None:
    whole = json.loads(FILE)
    turned = {key: whole[key] for key in ("categories", "annotations", "images")}
    assert [row[3:5] for row in read(tmp_path, json.dumps(turned))] == [("sub/b.jpg", "cat"), ("a.jpg", "dog")]


@pytest.mark.parametrize(
    "text",
    [b"\xef\xbb\xbf" + FILE.encode(), FILE.replace("\n", "\r\n").encode(), json.dumps(json.loads(FILE)).encode()],
    ids=["bom", "crlf", "one-line"],
)
def test_a_file_written_another_way_gives_the_same_rows(tmp_path: Path, text: bytes) -> None:
    found = read(tmp_path, text)
    assert [(row.image, row.label, row.box_1, row.box_4) for row in found] == [
        ("sub/b.jpg", "cat", "1", "4"),
        ("a.jpg", "dog", "5", "8"),
    ]


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("1e400", "1e400"),
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
        ("007.50", None),
        ('"12"', "12"),
        ('"wide"', "wide"),
        ("true", "True"),
        ("null", ""),
        ("100000000000000000000000", "100000000000000000000000"),
        ("-0", "-0"),
        ("1.10", "1.10"),
    ],
)
def test_a_value_stays_the_text_that_it_is(tmp_path: Path, written: str, text: str | None) -> None:
    file = content(f'{{"image_id": 1, "category_id": 1, "bbox": [{written}, 2, 3, 4]}}')
    if text is None:  # no number in JSON
        assert faults(tmp_path, file)[0].startswith(":4: json_invalid")
    else:
        assert [row.box_1 for row in read(tmp_path, file)] == [text]


def test_a_box_of_fewer_than_four_values_has_empty_text_for_the_others(tmp_path: Path) -> None:
    (row,) = read(tmp_path, content(box(1, 2, 3)))
    assert row[6:10] == ("1", "2", "3", "")


def test_ids_may_be_texts(tmp_path: Path) -> None:
    file = content(box(1, 2, 3, 4, image_id="x"), images='[{"id": "x", "file_name": "a.jpg"}]')
    assert [row.image for row in read(tmp_path, file)] == ["a.jpg"]


def test_a_name_that_utf_8_cannot_hold_is_spelt_out(tmp_path: Path) -> None:
    file = content(box(1, 2, 3, 4), images=r'[{"id": 1, "file_name": "\ud800.jpg"}]')
    assert [row.image for row in read(tmp_path, file)] == [r"\ud800.jpg"]


def test_a_category_without_a_name_gives_an_empty_label(tmp_path: Path) -> None:
    assert [row.label for row in read(tmp_path, content(box(1, 2, 3, 4), categories='[{"id": 1}]'))] == [""]


def test_an_image_without_an_annotation_is_a_background_image_with_its_size(tmp_path: Path) -> None:
    images = '[{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "empty.jpg", "width": 640, "height": 480}]'
    assert items(tmp_path, content(box(1, 2, 3, 4), images=images))[1:] == [BackgroundImage("empty.jpg", "640", "480")]


def test_a_file_without_an_annotation_has_no_row(tmp_path: Path) -> None:
    assert read(tmp_path, content()) == []


def test_keys_that_are_not_read_are_named_where_they_have_content(tmp_path: Path) -> None:
    empty = box(1, 2, 3, 4, segmentation=[], iscrowd=0, area=12, ignore=0)
    assert items(tmp_path, content(empty, info="{}"))[1:] == [Ignored("COCO's info")]
    polygon = empty | {"segmentation": [[1, 2, 3]]}
    both = [Ignored("COCO's annotations' iscrowd, annotations' segmentation")]
    assert items(tmp_path, content(polygon, box(1, 2, 3, 4, iscrowd="maybe")))[2:] == both
    assert items(tmp_path, content(empty, box(1, 2, 3, 4, ignore=1)))[2:] == [Ignored("COCO's annotations' ignore")]
    assert items(tmp_path, content(box(1, 2, 3, 4, width=0, height=5)))[1:] == [Ignored("COCO's annotations' height")]


@pytest.mark.parametrize("crowd", [1, "1", True, 1.0, "true"])
def test_an_annotation_of_a_crowd_is_left_out_and_counted(tmp_path: Path, crowd: Any) -> None:
    mask = {"image_id": 1, "category_id": 9, "segmentation": {"counts": [3, 4], "size": [1, 7]}, "iscrowd": crowd}
    found = items(tmp_path, content(mask, box(1, 2, 3, 4), box(5, 6, 7, 8, iscrowd=crowd)))
    assert [item[2:4] for item in found if isinstance(item, Row)] == [("annotations[1]", "a.jpg")]
    assert found[1:] == [Ignored("2 annotations of crowds (iscrowd)")]


@pytest.mark.parametrize("crowd", [0, "0", False, 0.0, None, "", "0.0"])
def test_an_annotation_that_says_that_it_is_of_no_crowd_is_an_ordinary_box(tmp_path: Path, crowd: Any) -> None:
    (row,) = items(tmp_path, content(box(1, 2, 3, 4, iscrowd=crowd)))
    assert isinstance(row, Row)


def test_an_image_with_crowds_alone_has_neither_a_box_nor_nothing_in_it(tmp_path: Path) -> None:
    images = json.dumps([{"id": number, "file_name": f"{number}.jpg"} for number in range(5)])
    crowds = [box(1, 2, 3, 4, image_id=number, iscrowd=1) for number in range(4)]
    assert items(tmp_path, content(*crowds, images=images)) == [
        BackgroundImage("4.jpg"),
        Ignored("4 annotations of crowds (iscrowd)"),
        Ignored("4 images with crowds alone: 0.jpg, 1.jpg, 2.jpg, ..."),
    ]
    assert items(tmp_path, content(crowds[1], box(5, 6, 7, 8), images=images))[5:] == [
        Ignored("1 annotation of crowds (iscrowd)")
    ]
    assert items(tmp_path, content(crowds[0], images=images))[5:] == [Ignored("1 image with crowds alone: 0.jpg")]


@pytest.mark.parametrize(
    ("written", "referred"),
    [
        *(("0", "0.0"), ("0.0", "0"), ('"0"', "0"), ("0", '"0"'), ("1", "1e0"), ("100000", "1e+05")),
        *(("120", "1.20E+2"), ("1.5", "1.50"), ("12345678901234567891", "12345678901234567891.0")),
    ],
)
def test_ids_are_equal_that_are_equal_numbers(tmp_path: Path, written: str, referred: str) -> None:
    images, categories = (f'[{{"id": {written}, "{key}": "x"}}]' for key in ("file_name", "name"))
    one = f'{{"image_id": {referred}, "category_id": {referred}, "bbox": [1, 2, 3, 4]}}'
    found = items(tmp_path, content(one, images=images, categories=categories))
    assert [item[3:5] for item in found] == [("x", "x")]


@pytest.mark.parametrize(("one", "other"), [("1e2", "100"), ("007", "7"), ("1", "l"), ("1.0.0", "1"), ("1e+999", "1")])
def test_ids_that_are_texts_are_not_taken_for_numbers(tmp_path: Path, one: str, other: str) -> None:
    images = json.dumps([{"id": id_, "file_name": f"{id_}.jpg"} for id_ in (one, other)])
    rows = read(tmp_path, content(box(1, 2, 3, 4, image_id=other), box(1, 2, 3, 4, image_id=one), images=images))
    assert [row.image for row in rows] == [f"{other}.jpg", f"{one}.jpg"]


def test_an_id_that_is_written_in_two_ways_stands_twice(tmp_path: Path) -> None:
    images = '[{"id": 1, "file_name": "1.0"}, {"id": 1.0, "file_name": "1"}]'
    assert faults(tmp_path, content(images=images)) == [
        ":images[1] (id 1.0).id: id_twice: expected a unique id, got that of images[0] again: 1.0"
    ]


EXPECTED = "expected COCO: a JSON object with images, annotations and categories"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", f": empty_file: {EXPECTED}, got an empty file"),
        (b" \n", f": empty_file: {EXPECTED}, got an empty file"),
        (gzip.compress(FILE.encode()), f": gzip: {EXPECTED}, got a file compressed with gzip"),
        (FILE.encode("utf-16"), ": utf_16: expected UTF-8 text, got UTF-16"),
        (FILE.replace("a.jpg", "é.jpg").encode("latin-1"), ":4: not_utf_8: expected UTF-8 text, got the byte 0xe9"),
        (FILE.replace("a.jpg", "\0.jpg"), ":4: nul_byte: expected text, got a NUL byte"),
        ("[]", f": not_coco: {EXPECTED}, got no object at the top"),
        ("\n17", f": not_coco: {EXPECTED}, got no object at the top"),
        ("nope", ":1: json_invalid: expected valid JSON, got a parse error at character 1: Expecting value"),
        (
            "{",
            ":1: json_invalid: expected valid JSON, "
            "got a parse error at character 2: Expecting property name enclosed in double quotes",
        ),
        (
            FILE[:-3],
            ":13: json_invalid: expected valid JSON, got a parse error at character 69: Expecting ',' delimiter",
        ),
        (
            FILE.replace("7,\n", "7\n"),
            ":11: json_invalid: expected valid JSON, got a parse error at character 6: Expecting ',' delimiter",
        ),
        (
            FILE.replace("8]}\n  ],", "8]},\n  ],"),
            ":12: json_invalid: expected valid JSON, got a parse error at character 3: Expecting value",
        ),
        (FILE + "{}", ":15: json_invalid: expected valid JSON, got a parse error at character 1: Extra data"),
        (
            FILE.replace('"info":', '"info"'),
            ":2: json_invalid: expected valid JSON, got a parse error at character 10: Expecting ':' delimiter",
        ),
        ('{"images": ' + "[" * 100_000, ": json_invalid: expected valid JSON, got values nested too deep"),
    ],
    ids=lambda value: value[:50] if isinstance(value, str) and value.startswith(":") else "",
)
def test_a_file_that_is_no_coco_is_refused(tmp_path: Path, text: str | bytes, message: str) -> None:
    assert faults(tmp_path, text) == [message]


def test_every_list_that_is_missing_or_none_is_named(tmp_path: Path) -> None:
    assert faults(tmp_path, '{\n"annotations": {},\n"images": 3}') == [
        ":images: not_a_list: expected a list, got 3",
        ":annotations: not_a_list: expected a list, got an object",
        f":categories: key_missing: {EXPECTED}, got no categories",
    ]


def test_a_key_that_stands_twice_is_named(tmp_path: Path) -> None:
    twice = FILE.replace('"info": {"year": 2024}', '"categories": []')
    assert faults(tmp_path, twice) == [":categories: key_twice: expected the key 'categories' once, got it 2 times"]


def test_every_fault_of_images_categories_and_annotations_is_named(tmp_path: Path) -> None:
    images = '[{"id": 1, "file_name": "a.jpg"},\n{"id": 1, "file_name": "b.jpg"}, {"id": 2, "file_name": ""}]'
    categories = '[{"id": 1, "name": "cat"}, {"id": 1, "name": "dog"}]'
    annotations = [
        box(1, 2, 3, 4, image_id=9),
        box(1, 2, 3, 4, category_id=None),
        {"id": 3, "image_id": 1, "category_id": 1},
        box(1, 2, 3, 4, 5),
        box() | {"bbox": "1 2 3 4"},
    ]
    expected = "expected [x, y, width, height]"
    assert faults(tmp_path, content(*annotations, images=images, categories=categories)) == [
        ":images[2] (id 2).file_name: file_name_missing: expected the image's file name, got none",
        ":images[1] (id 1).id: id_twice: expected a unique id, got that of images[0] again: 1",
        ":categories[1] (id 1).id: id_twice: expected a unique id, got that of categories[0] again: 1",
        ":annotations[0].image_id: id_unknown: expected an id in images, got 9",
        ":annotations[1].category_id: id_unknown: expected an id in categories, got none",
        ":annotations[2] (id 3).bbox: bbox_invalid: expected [x, y, width, height], got none",
        f":annotations[3].bbox: bbox_invalid: {expected}, got ['1', '2', '3', '4', '5']",
        f":annotations[4].bbox: bbox_invalid: {expected}, got 1 2 3 4",
    ]


def test_an_element_that_is_no_object_is_named(tmp_path: Path) -> None:
    assert faults(tmp_path, content("17")) == [":annotations[0]: not_an_object: expected an object, got 17"]


def test_an_annotation_without_image_id_is_not_that_of_an_image_without_id(tmp_path: Path) -> None:
    lost = {"category_id": 1, "bbox": [1, 2, 3, 4]}
    listed = faults(tmp_path, content(lost, images='[{"file_name": "a.jpg"}]'))
    assert listed == [":annotations[0].image_id: id_unknown: expected an id in images, got none"]


def test_what_is_no_regular_file_is_refused_and_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "all.json")
    with pytest.raises(BadFileError, match=r"not_a_file: expected COCO: .*, got no regular file"):
        list(coco.read(tmp_path / "all.json", CONFIG, None))


def test_an_id_of_any_kind_is_shown_briefly(tmp_path: Path) -> None:
    rows = read(tmp_path, content(box(1, 2, 3, 4, id=None), box(1, 2, 3, 4, id="x" * 70), box(1, 2, 3, 4)))
    assert [row.element for row in rows] == [
        "annotations[0] (id none)",
        f"annotations[1] (id {'x' * 57}...)",
        "annotations[2]",
    ]


def test_an_annotations_id_and_an_images_file_stand_once(tmp_path: Path) -> None:
    images = '[{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "a.jpg"}]'
    text = content(box(1, 2, 3, 4, id=7), box(1, 2, 3, 4, id=7), images=images)
    assert [one.split(", got ")[1] for one in faults(tmp_path, text)] == [
        "that of annotations[0] again: 7",
        "that of images[0] again: a.jpg",
    ]
