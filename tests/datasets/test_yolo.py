"""YOLO's folders: one row per line, its image found by the path, its label by the class's number."""

import os
from pathlib import Path

import pytest

from localizer.dataset import DatasetConfig
from localizer.datasets.readers import yolo
from localizer.datasets.readers.row import BackgroundImage, Ignored, Item, Row
from localizer.datasets.readers.yolo import label_files, names_file
from localizer.findings import BadFileError

CONFIG = DatasetConfig(title="toy", format="yolo", annotations="labels", images="images")
LINE = "0 0.5 0.50 .25 1e-1\n"


class Set:
    """A set's folder: root/labels and root/images, with a.jpg among the images."""

    def __init__(self, home: Path) -> None:
        self.root = home / "set"
        self.labels, self.images = self.root / "labels", self.root / "images"
        self.labels.mkdir(parents=True)
        self.add_image("a.jpg")

    def add_image(self, name: str) -> None:
        (self.images / name).parent.mkdir(parents=True, exist_ok=True)
        (self.images / name).write_bytes(b"")

    def write(self, name: str, text: str | bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    def items(self, images: Path | None = None) -> list[Item]:
        return list(yolo.read(self.labels, CONFIG, images or self.images))

    def read(self, images: Path | None = None) -> list[Row]:
        return [item for item in self.items(images) if isinstance(item, Row)]

    def faults(self) -> list[str]:
        """Return the faults, each without the path of the root."""
        with pytest.raises(BadFileError) as error:
            self.read()
        return [str(finding).removeprefix(f"{self.root.as_posix()}/") for finding in error.value.findings]


@pytest.fixture
def made(tmp_path: Path) -> Set:
    return Set(tmp_path)


def test_each_line_is_a_row_with_its_file_and_line_and_its_values_as_text(made: Set) -> None:
    made.write("labels/a.txt", LINE + "\n1 1 2 3 nan\n")
    file = (made.labels / "a.txt").as_posix()
    assert made.read() == [
        Row(file, 1, "", "a.jpg", "0", "", "0.5", "0.50", ".25", "1e-1", "", ""),
        Row(file, 3, "", "a.jpg", "1", "", "1", "2", "3", "nan", "", ""),
    ]


@pytest.mark.parametrize(
    "text", [b"\xef\xbb\xbf0 1 2 3 4\n0 1 2 3 4", b"0 1 2 3 4\r\n0\t1  2 3 4\r\n", b"0 1 2 3 4\r0 1 2 3 4"]
)
def test_every_common_way_of_writing_lines_gives_the_same_rows(made: Set, text: bytes) -> None:
    made.write("labels/a.txt", text)
    assert [(row.line, *row[6:10]) for row in made.read()] == [(1, "1", "2", "3", "4"), (2, "1", "2", "3", "4")]


def test_files_are_read_in_the_order_of_their_paths_those_of_subfolders_too(made: Set) -> None:
    for name in ("b.txt", "train/a.txt", "a.txt"):
        made.write(f"labels/{name}", LINE)
    made.add_image("train/a.PNG")
    made.add_image("b.jpeg")
    assert [row.image for row in made.read()] == ["a.jpg", "b.jpeg", "train/a.PNG"]


def test_an_image_that_is_not_there_is_named_by_its_stem(made: Set) -> None:
    made.write("labels/train/x.y.txt", LINE)
    made.add_image("train/x.y.pdf")
    assert [row.image for row in made.read()] == ["train/x.y"]


def test_without_the_images_folder_every_image_is_named_by_its_stem(made: Set) -> None:
    made.write("labels/a.txt", LINE)
    assert [row.image for row in made.read(made.root / "nowhere")] == ["a"]


def test_an_empty_file_is_an_image_without_a_row(made: Set) -> None:
    made.write("labels/a.txt", "")
    made.write("labels/b.txt", " \n")
    assert made.items() == [BackgroundImage("a.jpg"), BackgroundImage("b")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("data.yaml", "names: [cat, dog]\nnc: 2\n"),
        ("data.yaml", "path: ../x\nnames:\n  0: cat\n  1: dog\n"),
        ("labels/data.yaml", "names: [cat, dog]\n"),
        ("../data.yaml", "names: [cat, dog]\n"),
        ("classes.txt", "cat\ndog\n"),
        ("labels/classes.txt", "cat\r\n dog"),
        ("labels/obj.names", "cat\ndog\n"),
    ],
)
def test_labels_are_the_names_that_a_file_in_the_folder_or_around_it_gives(made: Set, name: str, text: str) -> None:
    made.write("labels/a.txt", "1 1 2 3 4\n0 1 2 3 4\n")
    made.write(name, text)
    assert [row.label for row in made.read()] == ["dog", "cat"]


def test_names_in_the_folder_itself_go_before_those_around_it(made: Set) -> None:
    made.write("labels/classes.txt", "cat\n")
    made.write("data.yaml", "names: [dog]\n")
    assert names_file(made.labels) == made.labels / "classes.txt"


def test_names_are_found_around_a_folder_that_is_named_from_within(made: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    made.write("data.yaml", "names: [cat]\n")
    monkeypatch.chdir(made.root)
    assert names_file(Path("labels")) == Path("data.yaml")
    monkeypatch.chdir(made.labels)
    assert names_file(Path()) == Path("../data.yaml")


def test_a_name_that_yaml_takes_for_a_number_is_a_label_too(made: Set) -> None:
    made.write("labels/a.txt", LINE)
    made.write("data.yaml", "names: [7]\n")
    assert [row.label for row in made.read()] == ["7"]


def test_a_name_that_utf_8_cannot_hold_is_spelt_out(made: Set) -> None:
    made.write("labels/a.txt", LINE)
    made.write("data.yaml", 'names: ["\\ud800"]\n')
    assert [row.label for row in made.read()] == [r"\ud800"]


def test_files_that_list_classes_are_no_label_files(made: Set) -> None:
    made.write("labels/classes.txt", "cat\n")
    made.write("labels/a.txt", LINE)
    assert label_files(made.labels) == [made.labels / "a.txt"]


@pytest.mark.parametrize("number", ["1.0", "1.", "1.000000", "1e0", "1.000000000000000000e+00", "10e-1", "01"])
def test_a_class_is_a_whole_number_however_it_is_written(made: Set, number: str) -> None:
    made.write("labels/a.txt", f"{number} 1 2 3 4\n")
    assert [row.label for row in made.read()] == ["1"]
    made.write("data.yaml", "names: [cat, dog]\n")
    assert [row.label for row in made.read()] == ["dog"]


@pytest.mark.parametrize("number", ["1.5", "1e-1", "-0.0", "1e400", "1_0", "\u0661", "9" * 5000, "nan", "."])
def test_a_class_that_is_no_whole_number_is_refused(made: Set, number: str) -> None:
    made.write("labels/a.txt", f"{number} 1 2 3 4\n")
    (fault,) = made.faults()
    assert fault.startswith("labels/a.txt:1:class: class_invalid: expected a class's number, from 0, got ")


def test_every_bad_line_of_every_file_is_named(made: Set) -> None:
    made.write("data.yaml", "names: [cat, dog]\n")
    made.write("labels/a.txt", "0 1 2 3\n0 1 2 3 4 0.9\n0 1 2 3 4 5 6 7\n" + LINE)
    made.write("labels/b.txt", "2 1 2 3 4\n-1 1 2 3 4\ncat 1 2 3 4\n0.5 1 2 3 4\n")
    expected = "expected 5 fields: class, center x, center y, width, height"
    number, fix = "expected a class's number, from 0", "correct the first field of the line"
    assert made.faults() == [
        f"labels/a.txt:1: field_count: {expected}, got 4; correct or remove the line",
        f"labels/a.txt:2: field_count: {expected}, got 6; is it a prediction, with a confidence? remove that column",
        f"labels/a.txt:3: field_count: {expected}, got 8; correct or remove the line",
        "labels/b.txt:1:class: class_unknown: expected the number of one of the 2 named classes, got 2; "
        "correct it, or add the class to data.yaml or classes.txt",
        f"labels/b.txt:2:class: class_invalid: {number}, got -1; {fix}",
        f"labels/b.txt:3:class: class_invalid: {number}, got cat; {fix}",
        f"labels/b.txt:4:class: class_invalid: {number}, got 0.5; {fix}",
    ]


def test_polygons_of_a_segmentation_are_left_out_or_taken_by_their_bounds(made: Set) -> None:
    made.write("labels/a.txt", "1 0.1 0.2 0.5 0.4 0.3 0.8\n" + LINE)
    made.write("labels/b.txt", "0 0.1 0.2 0.5 0.4 0.3 0.8\n")
    made.add_image("b.jpg")
    row, told = made.items()
    assert (row.line, told) == (2, Ignored("2 polygon shapes"))  # type: ignore[union-attr]
    bounds = CONFIG.model_copy(update={"shapes": "bounds"})
    first, *_ = yolo.read(made.labels, bounds, made.images)
    assert first[3:10] == ("a.jpg", "1", "", "0.3", "0.5", "0.4", "0.6000000000000001")


def test_two_images_of_one_stem_are_refused(made: Set) -> None:
    made.add_image("a.png")
    made.write("labels/a.txt", LINE)
    assert made.faults() == [
        "labels/a.txt: image_ambiguous: expected one image of the label file's name, got a.jpg, a.png; "
        "rename one of them"
    ]


def test_two_images_of_one_stem_without_a_label_file_are_accepted(made: Set) -> None:
    made.write("labels/a.txt", LINE)
    made.add_image("b.jpg")
    made.add_image("b.png")
    assert len(made.read()) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LINE.encode() + b"\xe9", "labels/a.txt:2: not_utf_8: expected UTF-8 text, got the byte 0xe9"),
        (LINE.encode() + b"\0", "labels/a.txt:2: nul_byte: expected text, got a NUL byte"),
        (LINE.encode("utf-16"), "labels/a.txt: utf_16: expected UTF-8 text, got UTF-16"),
    ],
    ids=["latin-1", "nul", "utf-16"],
)
def test_a_file_that_is_no_text_is_refused(made: Set, text: bytes, message: str) -> None:
    made.write("labels/a.txt", text)
    (fault,) = made.faults()
    assert fault.startswith(message)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "data.yaml",
            "nc: 2\n",
            "data.yaml:names: names_invalid: expected a list of the classes' names, or names by number, got None",
        ),
        (
            "data.yaml",
            "names: 3\n",
            "data.yaml:names: names_invalid: expected a list of the classes' names, or names by number, got 3",
        ),
        (
            "data.yaml",
            "names: []\n",
            "data.yaml:names: names_invalid: expected a list of the classes' names, or names by number, got []",
        ),
        (
            "data.yaml",
            "names: {cat: 0}\n",
            "data.yaml:names: names_invalid: expected a list of the classes' names, or names by number, got {'cat': 0}",
        ),
        (
            "data.yaml",
            "names: [[cat]]\n",
            "data.yaml:names: names_invalid: expected a list of the classes' names, or names by number, got [['cat']]",
        ),
        ("data.yaml", "names: [cat\n", "data.yaml: names_invalid: expected YAML with the classes' names, got "),
        ("data.yaml", "names: {[[1]]: cat}\n", "data.yaml: names_invalid: expected YAML with the classes' names, got "),
        ("classes.txt", "", "classes.txt: empty_file: expected one class name per line, got an empty file"),
    ],
)
def test_a_file_that_gives_no_names_is_refused(made: Set, name: str, text: str, message: str) -> None:
    made.write("labels/a.txt", LINE)
    made.write(name, text)
    (fault,) = made.faults()
    assert fault.startswith(message)


def test_a_file_in_the_place_of_the_folder_is_refused(made: Set) -> None:
    made.write("labels.txt", LINE)
    with pytest.raises(
        BadFileError, match=r"labels\.txt: not_a_folder: expected a folder of YOLO's \.txt files, got a file"
    ):
        list(yolo.read(made.root / "labels.txt", CONFIG, made.images))


def test_what_is_no_regular_file_is_left_out_and_does_not_hang(made: Set) -> None:
    made.write("labels/a.txt", LINE)
    os.mkfifo(made.labels / "b.txt")
    assert len(made.read()) == 1
