"""Lines of elements in JSON files, by hand, for every format that has elements, and for any document."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from dialects import DIALECTS, SIZE, Writer
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from localizer.datasets.annotations import read_boxes
from localizer.datasets.detection.propose import propose_config
from localizer.datasets.element_lines import Position, element_positions, positions_of, with_lines
from localizer.findings import critical

IMAGES = ("a.png", "b 2.png", "c.v1.png")
FINDING = critical("boxes.json", "corner_order", got="xmax 1", expected="more than xmin 2", fix="correct the box")
COCO = """\
{
 "images": [{"id": 7, "file_name": "a.png"}],
 "annotations": [
  {"id": 41, "bbox": [1, 2,
    3, 4]},

  {"id": 42,
   "bbox": [
    5,
    6
   ], "image_id": 7}
 ]
}
"""


def line(text: str, element: str) -> int | None:
    """Return the line of one element, None if it is left out."""
    position = element_positions(text, [element]).get(element)
    return position and position.line


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        ("images", 2),
        ("images[0] (id 7)", 2),
        ("annotations", 3),
        ("annotations[0]", 4),
        ("annotations[0] (id 41).bbox", 4),
        ("annotations[0] (id 41).bbox[1]", 4),
        ("annotations[0] (id 41).bbox[2]", 5),
        ("annotations[1] (id 42)", 7),
        ("annotations[1] (id 42).bbox[0]", 9),
        ("annotations[1] (id 42).image_id", 11),
    ],
)
def test_an_element_is_on_the_line_where_its_value_begins(element: str, expected: int) -> None:
    assert line(COCO, element) == expected


def test_a_column_counts_characters_from_1() -> None:
    text = '{\n "ä": ["é", 5]}'
    assert element_positions(text, ["ä[0]", "ä[1]"]) == {"ä[0]": Position(2, 8), "ä[1]": Position(2, 13)}


def test_many_elements_are_found_in_one_pass_whatever_their_order() -> None:
    found = element_positions(COCO, ["annotations[1] (id 42).bbox[1]", "images", "annotations[0]"])
    assert {element: position.line for element, position in found.items()} == {
        "annotations[1] (id 42).bbox[1]": 10,
        "images": 2,
        "annotations[0]": 4,
    }


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        ("annotations[1] (id 42).category_id", 7),
        ("annotations[1] (id 42).image_id's file_name", 7),
        ("annotations[1] (id 42).bbox[2]", 8),
        ("annotations[2].bbox", 3),
    ],
)
def test_an_element_that_is_missing_is_on_the_line_of_the_innermost_value_around_it(
    element: str, expected: int
) -> None:
    assert line(COCO, element) == expected


@pytest.mark.parametrize("element", ["categories", "xmin", "[0]", "", "annotation", "annotations2[0]", "[0].bbox"])
def test_an_element_of_which_nothing_is_there_is_left_out(element: str) -> None:
    assert element_positions(COCO, [element]) == {}


@pytest.mark.parametrize(
    "text", ["", " ", "7", "null", "[", "{", '{"annotations"', "title: boxes", '{"a": 1 "annotations": 2}']
)
def test_text_without_the_element_or_of_no_json_has_no_position(text: str) -> None:
    assert element_positions(text, ["annotations", "[0]"]) == {}


def test_what_stands_before_a_fault_of_the_json_is_found() -> None:
    text = '[\n {"xmin": 1},\n {"xmin": }\n]'
    assert line(text, "[0].xmin") == 2
    assert line(text, "[2].xmin") is None


def test_values_nested_too_deep_are_no_error() -> None:
    text = '{"deep": ' + "[" * 100_000 + ', "annotations": []}'
    assert element_positions(text, ["annotations"]) == {}


def test_numbers_of_any_length_are_passed_over() -> None:
    text = '{"n": ' + "1" * 5000 + ',\n "annotations": []}'
    assert line(text, "annotations") == 2


def test_brackets_and_quotes_inside_of_texts_are_no_structure() -> None:
    text = r'{"a": "}]\"[{", "b\"]": ["]", ' + "\n" + r'"\\"]}'
    assert line(text, 'b"][1]') == 2


def test_of_a_key_twice_the_last_is_taken_as_python_does() -> None:
    assert line('{"a": 1,\n "a": 2}', "a") == 2


@pytest.mark.parametrize("identifier", ["a)", "x).bbox", "a (id 2)", "[1].bbox", "1.5", "..."])
def test_an_id_may_contain_what_separates_the_parts_of_an_element(identifier: str) -> None:
    text = json.dumps({"annotations": [{}, {"id": identifier, "bbox": [1, 2]}]}, indent=0)
    # The lines: { annotations [ {} { id bbox [ 1 2; the braces of an empty object and a key with its bracket share one.
    assert line(text, f"annotations[1] (id {identifier}).bbox[1]") == 8


def test_a_key_may_contain_dots_and_brackets() -> None:
    text = '{"my.job": {},\n "my.job[2].v": {\n  "annotations": [\n   {"left": 1}]}}'
    assert line(text, "my.job[2].v.annotations[0].left") == 4


def test_a_position_is_that_of_a_value_whose_key_is_a_number() -> None:
    text = '{"regions": {"0": {},\n "2": {\n "x": 1}}}'
    assert line(text, "regions[1].x") == 3


def test_a_position_is_none_of_an_object_with_other_keys() -> None:
    assert line('{"objects":\n {"bbox":\n [],\n "category": []}}', "objects[0]") == 2


def test_images_are_called_by_their_names_in_exports_of_via_and_vott() -> None:
    via = '{"_via_img_metadata": {\n "a.v2.png123": {"filename": "a.v2.png",\n "regions": [\n {}]}}}'
    assert line(via, "a.v2.png.regions[0].x") == 4
    former_via = '{"a.png123": {"filename": "a.png",\n "regions": [\n {}]}}'
    assert line(former_via, "a.png.regions[0]") == 3
    vott = '{"assets": {"f00":\n {"asset": {"name": "a.png"},\n "regions": [\n {}]}}}'
    assert line(vott, "a.png.regions[0].xmin") == 4
    assert line(vott, "b.png.regions[0].xmin") is None


def test_a_vott_file_of_one_image_has_no_name_around_its_regions() -> None:
    assert line('{"asset": {"name": "a.png"},\n "regions": [{},\n {}]}', "a.png.regions[1].xmin") == 3


def test_a_label_studio_file_of_one_task_has_no_list_around_it() -> None:
    assert line('{"data": {},\n "annotations": [\n {"result": [\n {}]}]}', "[0].annotations[0].result[0]") == 4


def test_an_image_of_a_labelbox_list_is_found_by_its_name() -> None:
    text = '[{"data_row": {"external_id": "a.png"}},\n {"data_row": {"external_id": "b.png"}, "projects": {}}]'
    assert line(text, "b.png.objects[0].left") == 2
    assert line('[{},\n {"External ID": "b.png", "Label": {}}]', "b.png.objects[0].left") == 2


def value_at(path: Path, position: Position) -> str:
    """Return the JSON value at a position, as text; the line where no column is known."""
    rest = path.read_text(encoding="utf-8").splitlines(keepends=True)[position.line - 1 :]
    if position.column is None:
        return rest[0]
    return json.dumps(json.JSONDecoder().raw_decode("".join(rest)[position.column - 1 :])[0])


@pytest.mark.parametrize("write", DIALECTS.values(), ids=DIALECTS)
def test_each_box_of_every_format_is_found_where_its_label_is(write: Writer, tmp_path: Path) -> None:
    for name in IMAGES:
        Image.new("L", SIZE).save(tmp_path / name)
    labels = [f"label{number}" for number in range(4)]
    boxes = [(label, 330 + number, 250, 630, 470 + number) for number, label in enumerate(labels)]
    source = write(dict(zip(IMAGES, ([boxes[0], boxes[1]], [boxes[2]], [boxes[3]]), strict=True)), tmp_path / "raw")
    for path in source.rglob("*.json") if source.is_dir() else [source] * (source.suffix == ".json"):
        path.write_text(json.dumps(json.loads(path.read_text()), indent=1))
    rows = read_boxes(propose_config("mine", source, {}, images=tmp_path).config, source, images=tmp_path)
    assert sorted(rows["label"]) == labels
    for row in rows.to_dict("records"):
        line = None if pd.isna(row["line"]) else int(row["line"])
        finding = replace(FINDING, file=row["file"], line=line, column=row["element"])
        (position,) = positions_of([finding])
        assert position
        assert position.column or line
        found = value_at(Path(row["file"]), position)
        others = [label for label in labels if label in found and label != row["label"]]
        assert row["label"] in found
        assert not others or write.__name__ in ("sagemaker", "huggingface", "labelbox")  # an image a line


def test_findings_of_json_elements_get_lines_and_others_keep_theirs(tmp_path: Path) -> None:
    path = tmp_path / "coco.json"
    path.write_bytes(b"\xef\xbb\xbf" + COCO.replace("\n", "\r\n").encode())
    box = replace(FINDING, file=path.as_posix(), column="annotations[1] (id 42).bbox")
    findings = [
        box,
        replace(box, line=3),
        replace(box, column="categories"),
        replace(box, column=""),
        replace(box, file=(tmp_path / "nowhere.json").as_posix()),
        replace(box, file=tmp_path.as_posix()),
    ]
    assert with_lines(findings) == [replace(box, line=8), *findings[1:]]
    assert positions_of(findings) == [Position(8, 12), Position(3, None), None, None, None, None]


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n[", b'{"xmin": \xff}', b"xmin,xmax\n1,2\n", b"\0", b""])
def test_files_that_are_no_json_give_no_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    finding = replace(FINDING, file=path.as_posix(), column="xmin")
    assert with_lines([finding]) == [finding]


KEYS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters=".[("), min_size=1, max_size=5)
LEAF = object()
INNER = st.recursive(
    st.just(LEAF), lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=20
)
TREES = st.lists(INNER, min_size=1) | st.dictionaries(KEYS, INNER, min_size=1)


def numbered(tree: Any, element: str, found: dict[str, int]) -> Any:
    """Return a tree with a number of its own for each leaf, and note them by element."""
    if isinstance(tree, list):
        return [numbered(one, f"{element}[{index}]", found) for index, one in enumerate(tree)]
    if isinstance(tree, dict):
        return {key: numbered(one, f"{element}.{key}" if element else key, found) for key, one in tree.items()}
    found[element] = 7_000_000 + len(found)
    return found[element]


@given(tree=TREES, indent=st.sampled_from([None, 0, 2]), separators=st.sampled_from([(",", ":"), (" ,", " : ")]))
def test_every_leaf_of_any_document_is_where_its_text_is(
    tree: Any, indent: int | None, separators: tuple[str, str]
) -> None:
    leaves: dict[str, int] = {}
    text = json.dumps(numbered(tree, "", leaves), indent=indent, separators=separators)
    expected = {}
    for element, number in leaves.items():
        before = text[: text.index(str(number))]
        expected[element] = Position(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
    assert element_positions(text, leaves) == expected
