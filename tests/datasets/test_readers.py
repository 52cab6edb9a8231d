"""Every reader: boxes written in its format come back; broken bytes are an error, never a crash or a silent loss."""

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from dialects import DIALECTS, SIZE, Boxes, H, W, Writer
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from localizer.dataset import FORMATS, Dataset
from localizer.datasets.annotations import READERS, read_annotations, read_boxes, read_columns
from localizer.datasets.convert import convert
from localizer.datasets.detection.propose import propose_config
from localizer.findings import BadFileError
from localizer.tables import EDGES

IMAGES = ("a.png", "b 2.png", "c.png")
LABELS = ("cat", "big dog")
dialects = pytest.mark.parametrize("write", DIALECTS.values(), ids=DIALECTS)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for name in IMAGES:
        Image.new("L", SIZE).save(folder / name)
    return folder


@st.composite
def some_boxes(draw: st.DrawFn) -> Boxes:
    """Return one box or more, all in the lower right quarter of images, so that no other box format fits them."""
    found: Boxes = {}
    for image in IMAGES:
        found[image] = []
        for _ in range(draw(st.integers(0, 3))):
            left, top = draw(st.integers(W // 2, W - 20)), draw(st.integers(H // 2, H - 20))
            right, bottom = draw(st.integers(left + 1, W)), draw(st.integers(top + 1, H))
            found[image].append((draw(st.sampled_from(LABELS)), left, top, right, bottom))
    assume(sum(map(len, found.values())))
    return found


@dialects
@settings(max_examples=15, deadline=None)
@given(boxes=some_boxes())
@example(boxes={"a.png": [("cat", 330, 250, 630, 470)] * 2, "b 2.png": [("big dog", 400, 300, 640, 480)], "c.png": []})
def test_boxes_come_back_in_every_format(write: Writer, boxes: Boxes, images: Path) -> None:
    with TemporaryDirectory() as folder:
        source = write(boxes, Path(folder))
        config = propose_config("mine", source, {}, images=images).config
        conversion = convert(Dataset(config, source, images), "csv")
    assert conversion.unwritten == ()
    found = conversion.boxes[["image", "label", *EDGES]].round(3).to_numpy().tolist()
    expected = [[image, *box] for image, own in boxes.items() for box in own]
    assert sorted(found) == sorted(expected)
    assert sorted(conversion.background["image"]) == [image for image, own in boxes.items() if not own]


@dialects
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_changed_byte_is_an_error_or_changes_what_is_read_but_loses_nothing(
    write: Writer, images: Path, data: st.DataObject
) -> None:
    boxes: Boxes = {"a.png": [("cat", 330, 250, 630, 470)], "b 2.png": [("big dog", 400, 300, 640, 480)] * 2}
    with TemporaryDirectory() as name:
        folder = Path(name)
        source = write(boxes, folder)
        config = propose_config("mine", source, {}, images=images).config
        file = min((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.as_posix())
        content = bytearray(file.read_bytes())
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        file.write_bytes(content)
        try:
            read_boxes(config, source, images=images)  # which refuses a file without a box
            read = read_annotations(config, source, images=images)
        except BadFileError:
            return
    # One byte may turn a box into something else that is then told; a comma or a quote may join two rows of a table.
    assert len(read.boxes) + len(read.background) + len(read.ignored) >= 2


def test_every_format_has_a_reader_and_a_dialect_here() -> None:
    assert set(READERS) == set(FORMATS)
    names = {name.split("_")[0] for name in DIALECTS}
    assert set(READERS) - names == {"csv", "coco", "voc", "yolo"}  # which have their own tests


@dialects
def test_a_truncated_file_is_an_error_or_tells_less(write: Writer, tmp_path: Path, images: Path) -> None:
    boxes: Boxes = {image: [("cat", 330, 250, 630, 470)] * 3 for image in IMAGES}
    source = write(boxes, tmp_path / "in")
    config = propose_config("mine", source, {}, images=images).config
    file = max((path for path in (tmp_path / "in").rglob("*") if path.is_file()), key=lambda path: path.as_posix())
    whole = file.read_bytes()
    for length in range(0, len(whole), max(1, len(whole) // 40)):
        file.write_bytes(whole[:length])
        try:
            read_annotations(config, source, images=images)
        except BadFileError as error:
            assert file.name in str(error) or source.name in str(error)  # noqa: PT017
    shutil.rmtree(tmp_path / "in")


def test_an_export_of_three_folders_is_one_set_with_their_splits(tmp_path: Path) -> None:
    for split, name in (("train", "a.png"), ("valid", "b 2.png"), ("test", "c.png")):
        DIALECTS["createml"]({name: [("cat", 330, 250, 630, 470)]}, tmp_path / split)
        Image.new("L", SIZE).save(tmp_path / split / name)
    (tmp_path / "README.roboflow.txt").write_text("An export\n")
    config = propose_config("mine", tmp_path, {}, images=tmp_path).config
    boxes = read_annotations(config, tmp_path, images=tmp_path).boxes
    assert boxes[["image", "given_split"]].to_numpy().tolist() == [
        ["test/c.png", "test"],
        ["train/a.png", "train"],
        ["valid/b 2.png", "valid"],
    ]


def test_in_a_folder_a_broken_file_is_named_and_others_are_told(tmp_path: Path, images: Path) -> None:
    source = DIALECTS["labelme"]({"a.png": [("cat", 330, 250, 630, 470)]}, tmp_path / "in")
    (source / "package.json").write_text('{"version": 1}')
    config = propose_config("mine", source, {}, images=images).config
    assert read_annotations(config, source, images=images).left_out() == ["not read: 1 other files: package.json"]
    (source / "b.json").write_text('{"shapes": [')
    with pytest.raises(BadFileError, match=r"b\.json:1: json_invalid: expected valid JSON"):
        read_annotations(config, source, images=images)


def test_shapes_are_counted_or_taken_by_their_bounds(tmp_path: Path, images: Path) -> None:
    shapes = (
        '[{"label": "cat", "shape_type": "polygon", "points": [[330, 470], [630, 250], [500, 460]]},'
        ' {"label": "dog", "shape_type": "point", "points": [[1, 2]]}]'
    )
    file = tmp_path / "a.json"
    file.write_text(f'{{"imagePath": "a.png", "shapes": {shapes}, "imageWidth": {W}, "imageHeight": {H}}}')
    proposal = propose_config("mine", file, {"shapes": "bounds"}, images=images)
    found = read_annotations(proposal.config, file, images=images)
    assert found.boxes[["box_1", "box_2", "box_3", "box_4"]].to_numpy().tolist() == [["330", "250", "630", "470"]]
    assert proposal.reasons[-1] == "not read: 1 point shapes"
    ignored = propose_config("mine", file, {}, images=images)
    assert ignored.reasons[-2:] == ("not read: 1 point shapes", "not read: 1 polygon shapes")


def test_a_cell_that_is_no_box_is_no_image_without_one(tmp_path: Path) -> None:
    rows = ['a.png,"[330, 250, 630, 470]"\n'] * 30 + ["c.png,\n"]
    rows += ['b 2.png,"[1, 2, 3]"\n', 'b 2.png,"[1,2,3,4,5,6,7,8]"\n']
    (tmp_path / "x.csv").write_text("image,box\n" + "".join(rows))
    config = propose_config("mine", tmp_path / "x.csv", {"box_format": "xyxy"}).config
    found = read_annotations(config, tmp_path / "x.csv", images=None)
    assert found.boxes["box_1"].tolist() == ["330"] * 30 + ["[1, 2, 3]", "[1,2,3,4,5,6,7,8]"]  # findings of validate
    assert [item.image for item in found.background] == ["c.png"]


def test_all_labelling_jobs_of_a_line_are_read(tmp_path: Path) -> None:
    job = '{"annotations": [%s], "image_size": [{"width": 640, "height": 480}]}'
    box = '{"class_id": 0, "left": 1, "top": 2, "width": 30, "height": 40}'
    (tmp_path / "x.manifest").write_text(f'{{"source-ref": "s3://b/a.png", "one": {job % ""}, "two": {job % box}}}\n')
    config = propose_config("mine", tmp_path / "x.manifest", {}).config
    found = read_annotations(config, tmp_path / "x.manifest", images=None)
    assert (found.boxes["element"].tolist(), found.background) == (["two.annotations[0]"], ())


def test_a_task_of_two_images_names_none(tmp_path: Path) -> None:
    result = '{"value": {"x": 1, "y": 2, "width": 3, "height": 4}, "original_width": 640, "original_height": 480}'
    data = '{"left": "/data/local-files/?d=x/a.png", "right": "/data/upload/1/c.png"}'
    (tmp_path / "x.json").write_text(f'[{{"data": {data}, "annotations": [{{"result": [{result}]}}]}}]')
    config = propose_config("mine", tmp_path / "x.json", {}).config
    assert read_annotations(config, tmp_path / "x.json", images=None).boxes["image"].tolist() == [""]


def test_lines_of_json_lines_beside_json_stay_whole_numbers(tmp_path: Path) -> None:
    box = ("cat", 330, 250, 630, 470)
    DIALECTS["labelbox"]({"a.png": [box], "b 2.png": [box]}, tmp_path)
    record = (tmp_path / "export.ndjson").read_text().splitlines()[0].replace("a.png", "c.png")
    (tmp_path / "z.json").write_text(f"[{record}]")
    config = propose_config("mine", tmp_path, {}).config
    lines = read_annotations(config, tmp_path, images=None).boxes["line"]
    assert lines.astype("str").tolist()[:2] == ["1", "2"]


def elements(file: Path, images: Path) -> list[tuple[str, int | None]]:
    """Return the element and the line of each box, None without one."""
    config = propose_config("mine", file, {}, images=images).config
    rows = read_boxes(config, file, images=images)
    return [
        (element, line if line == line else None) for element, line in zip(rows["element"], rows["line"], strict=True)
    ]


def test_a_box_of_label_studio_is_called_by_its_place_in_the_file(tmp_path: Path, images: Path) -> None:
    box = {"x": 50, "y": 50, "width": 10, "height": 10}
    label = {"id": "b", "type": "labels", "value": box | {"labels": ["cat"]}}
    rectangles = [{"id": name, "type": "rectangle", "original_width": W, "value": box} for name in ("a", "b")]
    annotations = [{"was_cancelled": True, "result": []}, {"result": [*rectangles[:1], label, *rectangles[1:]]}]
    file = tmp_path / "project.json"
    file.write_text(json.dumps([{"data": {"image": "a.png"}, "completions": annotations}]))
    places = [f"[0].completions[1].result[{index}]" for index in (0, 1)]  # the third result is of the second's box
    assert elements(file, images) == [(place, None) for place in places]


def test_a_box_of_label_studios_minimal_json_is_called_by_its_key(tmp_path: Path, images: Path) -> None:
    box = {"x": 50, "y": 50, "width": 10, "height": 10, "original_width": W, "original_height": H}
    tasks = [{"image": "a.png", "box": [{"choice": 1}, box], "other": [box]}]
    file = tmp_path / "min.json"
    file.write_text(json.dumps(tasks))
    assert elements(file, images) == [("[0].box[1]", None), ("[0].other[0]", None)]


RECORDS = [{"image": name, "xmin": 400, "ymin": 300, "xmax": 500, "ymax": 400} for name in ("a.png", "c.png")]


def test_a_record_of_a_json_list_is_an_element_and_has_no_line(tmp_path: Path, images: Path) -> None:
    file = tmp_path / "boxes.json"
    file.write_text(json.dumps(RECORDS, indent=2))
    assert elements(file, images) == [("[0]", None), ("[1]", None)]


def test_a_record_of_json_lines_has_its_line_in_the_file(tmp_path: Path, images: Path) -> None:
    file = tmp_path / "boxes.jsonl"
    file.write_text("\n".join(["", json.dumps(RECORDS[0]), "", json.dumps(RECORDS[1])]))
    assert elements(file, images) == [("", 2), ("", 4)]


@pytest.mark.parametrize("given", [{"image": "photo"}, {"box": ["a", "b", "c", "d"]}], ids=["image", "box"])
@pytest.mark.parametrize("name", ["boxes.json", "boxes.jsonl", "boxes.csv"])
def test_a_missing_column_of_a_file_without_a_header_is_on_no_line(
    name: str, given: dict[str, Any], tmp_path: Path, images: Path
) -> None:
    texts = {
        "boxes.json": json.dumps(RECORDS),
        "boxes.jsonl": "\n".join(map(json.dumps, RECORDS)),
        "boxes.csv": "a.png,400,300,500,400\nc.png,400,300,500,400\n",
    }
    (tmp_path / name).write_text(texts[name])
    with pytest.raises(BadFileError) as error:
        propose_config("mine", tmp_path / name, {"columns": given}, images=images)
    assert {(one.rule, one.line) for one in error.value.findings} == {("column_missing", None)}


def test_columns_that_can_not_be_detected_in_records_are_on_no_line(tmp_path: Path, images: Path) -> None:
    (tmp_path / "boxes.json").write_text('[{"photo": 1}]')
    with pytest.raises(BadFileError) as error:
        propose_config("mine", tmp_path / "boxes.json", {}, images=images)
    assert [(one.rule, one.line) for one in error.value.findings] == [("columns_unknown", None)]


def test_the_columns_of_records_are_on_no_line(tmp_path: Path, images: Path) -> None:
    file = tmp_path / "boxes.json"
    file.write_text(json.dumps(RECORDS))
    config = propose_config("mine", file, {}, images=images).config
    assert read_columns(config, file)[["line", "column"]].to_numpy().tolist() == [["", key] for key in RECORDS[0]]
