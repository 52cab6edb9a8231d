"""Converting annotations: what is written can be read again, and what is not written is reported."""

import json
import os
import string
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from localizer.cli import main
from localizer.dataset import Dataset
from localizer.datasets import writers
from localizer.datasets.convert import convert
from localizer.datasets.detection.propose import propose_config
from localizer.datasets.readers import coco, voc
from localizer.datasets.writers import Target, write_boxes

MIRROR = os.environ.get("LOCALIZER_MIRROR", "")
needs_mirror = pytest.mark.skipif(not MIRROR, reason="LOCALIZER_MIRROR names no mirror")

HEADER = "image,label,xmin,ymin,xmax,ymax,width,height\n"
ROWS = HEADER + "a.jpg,cat,1,2,10,20,100,80\na.jpg,dog,0.5,2.25,99.125,80,100,80\nsub/b.png,cat,30,40,50.1,60,200,90\n"
OUTPUTS: dict[Target, str] = {"csv": "out.csv", "voc": "out", "coco": "out.json", "yolo": "out"}
READ: dict[Target, str] = OUTPUTS | {"yolo": "out/labels"}


class Home:
    """A folder with boxes.csv and images/, and what is made of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.images = path / "images"
        self.images.mkdir()
        self.csv = path / "boxes.csv"
        self.csv.write_text(ROWS)

    def add_image(self, name: str, width: int, height: int) -> None:
        (self.images / name).parent.mkdir(exist_ok=True)
        Image.new("L", (width, height)).save(self.images / name)

    def run(self, *options: str, to: Target = "csv", source: str = "boxes.csv", output: str = "") -> int:
        place = str(self.path / (output or OUTPUTS[to]))
        where = ["--images", str(self.images)] if "--no-images" not in options else []
        rest = [option for option in options if option != "--no-images"]
        return main(["convert", str(self.path / source), *where, "--to", to, "--output", place, *rest])

    def back(self, to: Target) -> str:
        """Return boxes.csv as it comes back from another format."""
        given = ["--box-origin", "1"] if to == "voc" else ["--box-origin", "0"]
        assert self.run("--box-origin", "0", to=to) == 0
        assert self.run(*given, source=READ[to], output="back.csv") == 0
        return (self.path / "back.csv").read_text(encoding="utf-8")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def with_images(home: Home) -> Home:
    home.add_image("a.jpg", 100, 80)
    home.add_image("sub/b.png", 200, 90)
    return home


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("to", ["csv", "voc", "coco"])
def test_a_csv_comes_back_as_it_was(home: Home, to: Target) -> None:
    assert home.back(to) == ROWS


def test_a_csv_comes_back_from_yolo_with_the_sizes_of_its_images(home: Home) -> None:
    assert with_images(home).back("yolo") == ROWS


def test_voc_files_have_the_image_its_size_and_pixels_from_1(home: Home) -> None:
    home.csv.write_text(HEADER + "sub/a.jpg,cat & dog,0,1,10,20.5,100,80\n")
    home.run("--box-origin", "0", to="voc")
    assert files(home.path / "out") == ["sub/a.xml"]
    text = (home.path / "out/sub/a.xml").read_text()
    assert "".join(line.strip() for line in text.splitlines()) == (
        "<annotation><filename>sub/a.jpg</filename><size><width>100</width><height>80</height></size>"
        "<object><name>cat &amp; dog</name>"
        "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>10</xmax><ymax>20.5</ymax></bndbox></object></annotation>"
    )


def test_a_coco_file_has_all_that_the_format_requires_and_one_line_per_element(home: Home) -> None:
    home.csv.write_text(HEADER + "b.jpg,dog,10,20,30,60,100,80\na.jpg,cat,0.1,0.2,0.3,0.4,50,40\n")
    home.run("--box-origin", "0", to="coco")
    text = (home.path / "out.json").read_text()
    annotation = {"iscrowd": 0, "ignore": 0, "segmentation": []}
    assert json.loads(text) == {
        "images": [
            {"id": 1, "file_name": "b.jpg", "width": 100, "height": 80},
            {"id": 2, "file_name": "a.jpg", "width": 50, "height": 40},
        ],
        "annotations": [
            annotation | {"id": 1, "image_id": 1, "category_id": 2, "bbox": [10, 20, 20, 40], "area": 800},
            annotation | {"id": 2, "image_id": 2, "category_id": 1, "bbox": [0.1, 0.2, 0.2, 0.2], "area": 0.04},
        ],
        "categories": [
            {"id": 1, "name": "cat", "supercategory": "none"},
            {"id": 2, "name": "dog", "supercategory": "none"},
        ],
    }
    assert len(text.splitlines()) == 2 + 3 * 2 + 6  # braces, brackets, elements


def test_yolo_has_one_file_per_image_and_the_names_of_the_classes(home: Home) -> None:
    home.csv.write_text(HEADER + 'sub/b.jpg,"it\'s: ""é""",10,20,30,60,100,80\na.jpg,cat,0,0,50,40,50,40\n')
    home.run("--box-origin", "0", to="yolo")
    assert files(home.path / "out") == ["data.yaml", "labels/a.txt", "labels/sub/b.txt"]
    assert (home.path / "out/labels/a.txt").read_text() == "0 0.5 0.5 1.0 1.0\n"
    assert (home.path / "out/labels/sub/b.txt").read_text() == "1 0.2 0.5 0.2 0.5\n"
    assert (home.path / "out/data.yaml").read_text(encoding="utf-8") == 'names:\n  0: "cat"\n  1: "it\'s: \\"é\\""\n'


def test_a_csv_has_no_empty_column(home: Home) -> None:
    home.csv.write_text("image,xmin,ymin,xmax,ymax\na.jpg,1,2,3,4.0\n")
    home.run("--box-origin", "0")
    assert (home.path / "out.csv").read_text() == "image,xmin,ymin,xmax,ymax\na.jpg,1,2,3,4\n"


def test_a_csv_keeps_the_groups(home: Home) -> None:
    home.csv.write_text("image,video,xmin,ymin,xmax,ymax\na.jpg,v1,1,2,3,4\n")
    home.run("--box-origin", "0", "--group-column", "video")
    assert (home.path / "out.csv").read_text() == "image,xmin,ymin,xmax,ymax,group\na.jpg,1,2,3,4,v1\n"


def test_the_size_of_the_upright_image_goes_before_the_annotated_one(home: Home) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (80, 100)).save(home.images / "a.jpg", exif=exif)
    home.csv.write_text(HEADER + "a.jpg,cat,1,2,3,4,7,7\n")
    home.run("--box-origin", "0")
    assert (home.path / "out.csv").read_text().endswith(",100,80\n")


def test_without_images_the_sizes_are_as_annotated(home: Home) -> None:
    home.add_image("a.jpg", 7, 7)
    assert home.run("--no-images", "--box-origin", "0") == 0
    assert (home.path / "out.csv").read_text() == ROWS


@pytest.mark.parametrize("to", ["voc", "coco", "yolo"])
def test_an_image_without_a_box_stays_one(home: Home, to: Target) -> None:
    labels = with_images(home).path / "labels"
    (labels / "sub").mkdir(parents=True)
    (labels / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (labels / "sub" / "b.txt").write_text("")
    assert home.run(to=to, source="labels") == 0
    if to == "coco":
        images = json.loads((home.path / "out.json").read_text())["images"]
        assert images[1] == {"id": 2, "file_name": "sub/b.png", "width": 200, "height": 90}
    else:
        written = home.path / {"voc": "out/sub/b.xml", "yolo": "out/labels/sub/b.txt"}[to]
        assert "object" not in written.read_text()


def test_an_image_without_a_box_is_a_row_with_an_empty_box_in_a_csv(home: Home) -> None:
    (home.path / "labels").mkdir()
    (home.path / "labels" / "a.txt").write_text("")
    with_images(home).path.joinpath("labels/b.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    home.add_image("b.jpg", 10, 10)
    assert home.run(source="labels") == 0
    rows = "b.jpg,0,4,4,6,6,10,10\na.jpg,,,,,,100,80\n"
    assert (home.path / "out.csv").read_text() == HEADER + rows


@pytest.mark.parametrize(("to", "rule"), [("voc", "size_unknown"), ("coco", "size_unknown"), ("yolo", "image_missing")])
def test_an_image_without_a_box_and_without_a_file_size_is_reported(
    home: Home, capsys: pytest.CaptureFixture[str], to: Target, rule: str
) -> None:
    (home.path / "labels").mkdir()
    with_images(home).path.joinpath("labels/a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (home.path / "labels" / "gone.txt").write_text("")
    assert home.run(to=to, source="labels") == 1
    error = capsys.readouterr().err
    assert f"labels: {rule}: expected " in error
    assert "('gone')" in error


def with_an_empty_image(home: Home, kind: Target) -> Path:
    """Return annotations of a.jpg, 100 x 80, which has a box, and of empty.jpg, 30 x 20, which has none."""
    home.csv.write_text(HEADER + "a.jpg,cat,1,2,10,20,100,80\n")
    home.run("--box-origin", "0", to=kind, output="in.json" if kind == "coco" else "in")
    if kind == "coco":
        found = json.loads((home.path / "in.json").read_text())
        found["images"].append({"id": 9, "file_name": "empty.jpg", "width": 30, "height": 20})
        (home.path / "in.json").write_text(json.dumps(found))
        return home.path / "in.json"
    size = "<size><width>30</width><height>20</height></size>"
    (home.path / "in/empty.xml").write_text(f"<annotation><filename>empty.jpg</filename>{size}</annotation>")
    return home.path / "in"


@pytest.mark.parametrize("kind", ["voc", "coco"])
def test_an_image_without_a_box_has_the_size_of_its_file_else_as_annotated(home: Home, kind: Target) -> None:
    annotations = with_an_empty_image(home, kind)
    for images in (None, home.images):
        found = convert(open_dataset(annotations, images), "coco")
        assert found.background[["image", "width", "height"]].to_numpy().tolist() == [["empty.jpg", 30, 20]]
        assert found.unwritten == ()
    home.add_image("empty.jpg", 60, 40)
    found = convert(open_dataset(annotations, home.images), "coco")
    assert found.background[["width", "height"]].to_numpy().tolist() == [[60, 40]]


@pytest.mark.parametrize("kind", ["voc", "coco"])
def test_annotations_are_read_once(home: Home, monkeypatch: pytest.MonkeyPatch, kind: Target) -> None:
    dataset = open_dataset(with_an_empty_image(home, kind), home.images)
    module = coco if kind == "coco" else voc
    parse, paths = module._parse, list[str]()

    def counted(path: Path) -> Any:
        paths.append(path.name)
        return parse(path)

    monkeypatch.setattr(module, "_parse", counted)
    convert(dataset, "yolo")
    assert sorted(paths) == (["in.json"] if kind == "coco" else ["a.xml", "empty.xml"])


def test_annotations_of_only_images_without_a_box_have_no_box_to_write(home: Home) -> None:
    annotations = with_an_empty_image(home, "coco")
    found = json.loads(annotations.read_text())
    annotations.write_text(json.dumps(found | {"annotations": []}))
    result = convert(open_dataset(annotations, None), "voc")
    assert (len(result.boxes), result.background["image"].tolist()) == (0, ["a.jpg", "empty.jpg"])


def test_all_boxes_of_an_image_have_the_first_size_that_is_known(home: Home) -> None:
    rows = [("", ""), ("100", "80"), ("50", "40")]
    home.csv.write_text(HEADER + "".join(f"a.jpg,cat,1,2,3,4,{width},{height}\n" for width, height in rows))
    found = convert(open_dataset(home.csv, None), "coco")
    assert found.boxes[["width", "height"]].to_numpy().tolist() == [[100, 80]] * 3


def test_no_file_of_an_image_without_a_box_is_written_outside_the_output(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    home.run(to="voc", output="in")
    (home.path / "in/empty.xml").write_text("<annotation><filename>../empty.jpg</filename></annotation>")
    Image.new("L", (5, 5)).save(home.path / "empty.jpg")
    assert home.run(to="yolo", source="in") == 1
    assert (
        "image_invalid: expected an image's path relative to --images, got no path below a folder ('../empty.jpg')"
        in capsys.readouterr().err
    )
    assert files(home.path / "out") == ["data.yaml", "labels/a.txt", "labels/sub/b.txt"]


def bad_rows(home: Home, capsys: pytest.CaptureFixture[str], *rows: str, to: Target) -> list[str]:
    """Return what is printed about rows that aren't written, in a file with one that is."""
    home.add_image("good.jpg", 10, 10)
    home.csv.write_text(HEADER + "good.jpg,cat,1,2,3,4,10,10\n" + "".join(f"{row}\n" for row in rows), newline="")
    assert home.run("--box-origin", "0", to=to) == (1 if rows else 0)
    prefix = f"not written: {home.csv.as_posix()}"
    lines = capsys.readouterr().err.splitlines()
    return [line.removeprefix(prefix).split("; ")[0] for line in lines if line.startswith("not written")]


@pytest.mark.parametrize("to", ["csv", "voc", "coco", "yolo"])
def test_a_value_that_is_no_number_is_reported_and_the_rest_is_written(
    home: Home, capsys: pytest.CaptureFixture[str], to: Target
) -> None:
    reported = bad_rows(
        home, capsys, "a.jpg,cat,1,2,x,4,10,10", "b.jpg,cat,1,2,,4,10,10", "c.jpg,cat,nan,2,3,4,9,9", to=to
    )
    assert reported == [
        f":{line}: not_a_number: expected four numbers, got values that are no numbers ('{image}.jpg')"
        for line, image in ((3, "a"), (4, "b"), (5, "c"))
    ]
    assert home.run("--box-origin", "0", source=READ[to], output="back.csv") == 0
    assert (home.path / "back.csv").read_text().count("\n") == 2


@pytest.mark.parametrize("to", ["voc", "coco", "yolo"])
def test_an_image_of_unknown_size_is_reported_where_the_format_needs_it(
    home: Home, capsys: pytest.CaptureFixture[str], to: Target
) -> None:
    reported = bad_rows(home, capsys, "a.jpg,cat,1,2,3,4,,", "b.jpg,cat,1,2,3,4,10.5,10", to=to)
    assert reported == [
        ":3: size_unknown: expected the image's size in pixels, got no image of this name, nor its size ('a.jpg')",
        ":4: size_unknown: expected the image's size in pixels, got no image of this name, nor its size ('b.jpg')",
    ]


def test_an_image_of_unknown_size_is_written_to_a_csv(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.csv.write_text(HEADER + "a.jpg,cat,1,2,3,4,,\nb.jpg,cat,1,2,3,4,10,10\n")
    assert home.run("--box-origin", "0") == 0
    assert (home.path / "out.csv").read_text() == home.csv.read_text()


def test_boxes_in_0_to_1_of_an_image_of_unknown_size_are_reported(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    home.csv.write_text("image,xmin,ymin,xmax,ymax\na.jpg,0.1,0.2,0.3,0.4\nb.jpg,0.1,0.2,0.3,0.4\n")
    home.add_image("b.jpg", 10, 10)
    assert home.run() == 1
    assert (
        "boxes.csv:2: size_unknown: expected the image's size in pixels, got no image of this name"
        in capsys.readouterr().err
    )
    assert (home.path / "out.csv").read_text() == "image,xmin,ymin,xmax,ymax,width,height\nb.jpg,1,2,3,4,10,10\n"


@pytest.mark.parametrize(("to", "reported"), [("csv", []), ("voc", [3]), ("coco", [3]), ("yolo", [3])])
def test_a_box_that_ends_before_it_begins_is_reported_where_the_format_has_none(
    home: Home, capsys: pytest.CaptureFixture[str], to: Target, reported: list[int]
) -> None:
    home.csv.write_text(HEADER + "good.jpg,cat,1,2,3,4,10,10\na.jpg,cat,5,2,3,4,10,10\n")
    assert home.run("--box-origin", "0", "--box-format", "xyxy", to=to) == len(reported)
    assert capsys.readouterr().err.count(
        ":3: corners_order: expected xmin <= xmax and ymin <= ymax, got an end before its beginning ('a.jpg')"
    ) == len(reported)


@pytest.mark.parametrize("image", ["../a.jpg", "/a.jpg", "x/../../a.jpg", ".."])
def test_no_file_is_written_outside_the_output(home: Home, capsys: pytest.CaptureFixture[str], image: str) -> None:
    reported = bad_rows(home, capsys, f"{image},cat,1,2,3,4,10,10", to="voc")
    assert reported == [
        f":3: image_invalid: expected an image's path relative to --images, got no path below a folder ('{image}')"
    ]
    assert files(home.path) == ["boxes.csv", "images/good.jpg", "out/good.xml"]


def test_names_with_control_characters_are_reported(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    reported = bad_rows(home, capsys, '"a\nb.jpg",cat,1,2,3,4,10,10', "c.jpg,\x07,1,2,3,4,10,10", to="voc")
    assert [line.split(": expected")[0] for line in reported] == [":3: control_character", ":5: control_character"]


@pytest.mark.parametrize(("to", "status"), [("csv", 0), ("coco", 0), ("voc", 1), ("yolo", 1)])
def test_a_second_image_of_one_stem_is_reported_where_files_are_named_by_it(
    home: Home, capsys: pytest.CaptureFixture[str], to: Target, status: int
) -> None:
    home.csv.write_text(HEADER + "a.jpg,cat,1,2,3,4,10,10\na.png,cat,1,2,3,4,10,10\n")
    assert home.run("--box-origin", "0", to=to) == status
    assert (
        ":3: stem_twice: expected one file of boxes per image, got another image of this name"
        in capsys.readouterr().err
    ) == bool(status)


def test_without_a_box_to_write_nothing_is_written(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.csv.write_text(HEADER + "a.jpg,cat,1,2,x,4,10,10\n")
    assert home.run() == 1
    assert "not one box can be written as csv; nothing was written" in capsys.readouterr().err
    assert files(home.path) == ["boxes.csv"]


def lost(home: Home, capsys: pytest.CaptureFixture[str], *options: str, to: Target, source: str) -> list[str]:
    assert home.run(*options, to=to, source=source) == 0
    lines = capsys.readouterr().out.splitlines()
    return [line.removeprefix("Not converted: ") for line in lines if line.startswith("Not converted")]


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("csv", ["the columns weather"]),
        ("voc", ["the columns weather", "the groups of 1 boxes", "the spaces around ' cat'"]),
        ("coco", ["the columns weather", "the groups of 1 boxes"]),
        ("yolo", ["the columns weather", "the groups of 1 boxes", "the images' sizes as annotated"]),
    ],
)
def test_content_that_a_format_cannot_represent_is_reported(
    home: Home, capsys: pytest.CaptureFixture[str], to: Target, expected: list[str]
) -> None:
    rows = "a.jpg, cat,1,2,3,4,9,9,v1,rain\nb.jpg,cat,1,2,3,4,9,9,,sun\n"
    home.csv.write_text(HEADER.strip() + ",video,weather\n" + rows)
    assert lost(home, capsys, "--group-column", "video", to=to, source="boxes.csv") == expected


@pytest.mark.parametrize("to", ["csv", "voc", "coco"])
def test_nothing_is_reported_where_nothing_is_lost(home: Home, capsys: pytest.CaptureFixture[str], to: Target) -> None:
    assert lost(home, capsys, to=to, source="boxes.csv") == []


def test_content_of_coco_and_voc_that_is_not_read_is_reported(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.run(to="coco", output="in.json")
    home.run(to="voc", output="in")
    found = json.loads((home.path / "in.json").read_text())
    found["annotations"][0] |= {"segmentation": [[1, 2, 3, 4, 5, 6]], "attributes": {"occluded": True}}
    found["annotations"].append(found["annotations"][0] | {"id": 99, "iscrowd": 1})
    (home.path / "in.json").write_text(json.dumps(found | {"licenses": []}))
    xml = home.path / "in/a.xml"
    xml.write_text(xml.read_text().replace("<bndbox>", "<difficult>1</difficult><truncated>0</truncated><bndbox>"))
    capsys.readouterr()
    reported = "COCO's annotations' attributes, annotations' segmentation, licenses"
    assert lost(home, capsys, to="csv", source="in.json") == ["1 annotation of crowds (iscrowd)", reported]
    assert lost(home, capsys, to="coco", source="in") == ["Pascal VOC's difficult"]


def test_the_folder_of_a_data_set_is_read_by_its_config(home: Home) -> None:
    folder = home.path / "data/mine"
    (folder / "raw").mkdir(parents=True)
    (folder / "raw/b.csv").write_text("f,a,b,c,d\na.jpg,10,20,6,8\n")
    (folder / "dataset.yaml").write_text(
        "{title: x, format: csv, annotations: b.csv, images: images, box_format: cxcywh, label: cat, "
        "columns: {image: f, box: [a, b, c, d]}}"
    )
    assert home.run("--no-images", source="data/mine") == 0
    assert (home.path / "out.csv").read_text() == "image,xmin,ymin,xmax,ymax\na.jpg,7,16,13,24\n"


@pytest.mark.parametrize(
    ("options", "to", "output", "message"),
    [
        (["--label", "cat"], "csv", "", "--label: all boxes are converted as they are"),
        (["--clip-px", "1"], "csv", "", "--clip-px: all boxes are converted as they are"),
        ([], "coco", "out", "expected a name that ends in .json"),
        ([], "csv", "boxes.csv", "boxes.csv: exists already; name another output, or remove it"),
        ([], "voc", "boxes.csv", "boxes.csv: exists already"),
        ([], "voc", "full", "full: exists already"),
    ],
)
def test_a_wrong_use_is_refused_and_nothing_written(
    home: Home, capsys: pytest.CaptureFixture[str], options: list[str], to: Target, output: str, message: str
) -> None:
    (home.path / "full").mkdir()
    (home.path / "full/x").write_text("mine")
    assert home.run(*options, to=to, output=output) == 1
    assert message in capsys.readouterr().err
    assert files(home.path) == ["boxes.csv", "full/x"]
    assert home.csv.read_text() == ROWS


def test_an_empty_folder_is_filled(home: Home) -> None:
    (home.path / "out").mkdir()
    assert home.run(to="voc") == 0
    assert files(home.path / "out") == ["a.xml", "sub/b.xml"]


def open_dataset(annotations: Path, images: Path | None) -> Dataset:
    return Dataset(propose_config("x", annotations, {}).config, annotations, images)


@pytest.mark.parametrize("to", ["csv", "voc", "coco", "yolo"])
def test_what_breaks_off_half_way_leaves_nothing(home: Home, monkeypatch: pytest.MonkeyPatch, to: Target) -> None:
    def stop(*_: object) -> NoReturn:
        raise OSError(28, "No space left on device")

    found = convert(open_dataset(home.csv, home.images), to)
    monkeypatch.setattr(Path, "rename", stop)
    with pytest.raises(OSError, match="No space left"):
        write_boxes(found.boxes, found.background, home.path / "out", to=to)
    assert files(home.path) == ["boxes.csv"]


def test_leftovers_of_a_killed_attempt_are_replaced(home: Home) -> None:
    (home.path / ".out.part/stray").mkdir(parents=True)
    assert home.run(to="voc") == 0
    assert files(home.path) == ["boxes.csv", "out/a.xml", "out/sub/b.xml"]


def test_for_voc_the_origin_is_printed(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.run(to="voc")
    assert "read them with box_origin: 1" in capsys.readouterr().out


SAFE = st.text(string.ascii_letters + string.digits + " .,'\"&<>%-_:#é貓", min_size=1, max_size=12)
COORDINATE = st.integers(0, 10**9 * 3000).map(lambda billionths: billionths / 10**9)
LABEL = SAFE.filter(lambda text: text == text.strip())


@st.composite
def tables(draw: Callable[..., Any]) -> pd.DataFrame:
    """Draw boxes of up to nine decimals in images of up to 3000 pixels."""
    sizes = draw(st.lists(st.tuples(st.integers(1, 3000), st.integers(1, 3000)), min_size=1, max_size=4))
    rows = []
    for number, (width, height) in enumerate(sizes):
        for _ in range(draw(st.integers(1, 3))):
            xs, ys = sorted(draw(st.tuples(COORDINATE, COORDINATE))), sorted(draw(st.tuples(COORDINATE, COORDINATE)))
            rows.append((f"{number}.jpg", draw(LABEL), xs[0], ys[0], xs[1], ys[1], width, height))
    return pd.DataFrame(rows, columns=HEADER.strip().split(","))


@given(table=tables(), to=st.sampled_from(["csv", "voc", "coco", "yolo"]))
@settings(max_examples=60, deadline=None)
def test_boxes_come_back_exactly_and_from_yolo_within_a_millionth_of_the_side(table: pd.DataFrame, to: Target) -> None:
    with TemporaryDirectory() as folder:
        home = Home(Path(folder))
        for image, width, height in table[["image", "width", "height"]].drop_duplicates().itertuples(index=False):
            home.add_image(image, width, height)
        table.to_csv(home.csv, index=False)
        given_back = ["--box-origin", str(int(to == "voc"))]
        reading = ["--box-format", "xyxy", "--box-units", "pixel"]
        assert home.run("--box-origin", "0", *reading, to=to) == 0
        assert home.run(*given_back, *(reading if to == "csv" else []), source=READ[to], output="back.csv") == 0
        found = pd.read_csv(home.path / "back.csv", dtype={"label": str}, keep_default_na=False)
    assert found[["image", "label", "width", "height"]].equals(
        table[["image", "label", "width", "height"]].astype(
            {"label": found["label"].dtype, "image": found["image"].dtype}
        )
    )
    moved = (found[list(writers.CSV_BOX)] - table[list(writers.CSV_BOX)]).abs().to_numpy()
    sides = table[["width", "height", "width", "height"]].to_numpy()
    assert (moved <= (1e-6 * sides if to == "yolo" else 0)).all()


@needs_mirror
@pytest.mark.parametrize("to", ["csv", "voc", "coco", "yolo"])
def test_the_raccoons_come_back_as_they_were(tmp_path: Path, to: Target) -> None:
    home = Home(tmp_path)
    root = Path(MIRROR) / "datitran/raccoon_dataset"
    home.images = root / "images"
    assert home.run(source=str(root / "data/raccoon_labels.csv"), output="first.csv") == 0
    assert home.run(source="first.csv", to=to) == 0
    assert home.run(source=READ[to], output="back.csv") == 0
    first, back = (sorted((tmp_path / name).read_text().splitlines()) for name in ("first.csv", "back.csv"))
    assert len(first) == 1 + 217
    assert back == first


@needs_mirror
@pytest.mark.parametrize("to", ["voc", "coco", "yolo"])
def test_the_blood_cells_come_back_as_they_were(tmp_path: Path, to: Target) -> None:
    home = Home(tmp_path)
    root = Path(MIRROR) / "Shenggan/BCCD_Dataset/BCCD"
    home.images = root / "JPEGImages"
    assert home.run(source=str(root / "Annotations"), output="first.csv") == 0
    assert home.run(source=str(root / "Annotations"), to=to) == 0
    assert home.run(source=READ[to], output="back.csv") == 0
    first, back = (sorted((tmp_path / name).read_text().splitlines()) for name in ("first.csv", "back.csv"))
    assert len(first) == 1 + 4888
    assert back == first
