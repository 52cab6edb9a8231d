"""Reading annotations: what is refused with its line, what is accepted, and that values stay text."""

import gzip
import os
import re
from pathlib import Path

import pandas as pd
import pytest

from localizer.dataset import CsvColumns, DatasetConfig
from localizer.datasets.annotations import COLUMNS, read_boxes, read_columns
from localizer.datasets.detection.file_format import detect_format
from localizer.datasets.readers.csv import csv_records
from localizer.datasets.readers.table import Layout
from localizer.findings import BadFileError

HEADER = b"image,label,xmin,ymin,xmax,ymax\n"
ROW = b"a.jpg,cat,1,2,3,4\n"
FIELDS = "quote values that contain the separator, or give the missing ones"
A_CSV = "a CSV: a header, and one row per box"


NAMED = {"title": "toy", "images": "images"}


def config(**changed: object) -> DatasetConfig:
    values: dict[str, object] = {
        "title": "toy",
        "format": "csv",
        "annotations": "boxes.csv",
        "images": "images",
        "columns": CsvColumns(image="image", label="label", box=["xmin", "ymin", "xmax", "ymax"]),
    }
    return DatasetConfig.model_validate(values | changed)


def voc_config() -> DatasetConfig:
    return DatasetConfig(title="toy", format="voc", annotations="xml", images="images")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "toy" / "raw"
    folder.mkdir(parents=True)
    return folder


def read_raw(config: DatasetConfig, raw: Path) -> pd.DataFrame:
    return read_boxes(config, raw / config.annotations, images=raw / config.images)


def read(raw: Path, content: bytes) -> pd.DataFrame:
    (raw / "boxes.csv").write_bytes(content)
    return read_raw(config(), raw)


def faults(raw: Path, content: bytes) -> list[str]:
    """Return the faults of the content, each without the file's path."""
    with pytest.raises(BadFileError, match=re.escape(str(raw))) as error:
        read(raw, content)
    return [str(finding).removeprefix(str(raw / "boxes.csv")) for finding in error.value.findings]


def voc(filename: str, *objects: str) -> str:
    return f"<annotation>\n<filename>{filename}</filename>\n{''.join(objects)}</annotation>"


OBJECT = "<object><name>cat</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></object>\n"


def test_a_row_becomes_text_with_its_file_and_line(raw: Path) -> None:
    found = read(raw, HEADER + b"007,NA,1.50, 2,x,\n")
    assert list(found.columns) == COLUMNS
    path = (raw / "boxes.csv").as_posix()
    assert found.iloc[0].tolist() == [path, 2, "", "007", "NA", "", "1.50", " 2", "x", "", "", "", ""]


@pytest.mark.parametrize("name", ["NA", "007", "null", "nan", "None", "1e5", "True", "-"])
def test_a_name_that_pandas_would_convert_stays_text(raw: Path, name: str) -> None:
    found = read(raw, HEADER + ROW.replace(b"a.jpg", name.encode()))
    assert found["image"].tolist() == [name]


@pytest.mark.parametrize(
    "content",
    [
        HEADER + ROW,
        (HEADER + ROW).rstrip(b"\n"),
        b"\xef\xbb\xbf" + HEADER + ROW,
        (HEADER + ROW).replace(b"\n", b"\r\n"),
        (HEADER + ROW).replace(b"\n", b"\r"),
        HEADER + b'"a.jpg","cat","1","2","3","4"\n',
    ],
    ids=["lf", "no-last-newline", "bom", "crlf", "cr", "quoted"],
)
def test_every_common_way_of_writing_a_csv_gives_the_same_row(raw: Path, content: bytes) -> None:
    found = read(raw, content)
    shown = ["line", "image", "label", "box_1", "box_2", "box_3", "box_4"]
    assert found[shown].to_numpy().tolist() == [[2, "a.jpg", "cat", "1", "2", "3", "4"]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", f": empty_file: expected {A_CSV}, got an empty file; export it again"),
        (b" \n\n", f": empty_file: expected {A_CSV}, got an empty file; export it again"),
        (HEADER, ": no_rows: expected one row per box, got none"),
        (
            (HEADER + ROW).decode().encode("utf-16"),
            ": utf_16: expected UTF-8 text, got UTF-16; save it as UTF-8, or, if it is a CSV, set `encoding: utf-16`",
        ),
        (
            (HEADER + ROW).decode().encode("utf-16-be"),
            ":1: nul_byte: expected text, got a NUL byte; remove it; or, if the file is UTF-16, save it as UTF-8",
        ),
        (
            HEADER + ROW + b"\xe9.jpg,cat,1,2,3,4\n",
            ":3: not_utf_8: expected UTF-8 text, got the byte 0xe9; save it as UTF-8",
        ),
        (
            (HEADER + ROW + b"\xe9").replace(b"\n", b"\r"),
            ":3: not_utf_8: expected UTF-8 text, got the byte 0xe9; save it as UTF-8",
        ),
        (
            (HEADER + ROW + b"\xe9").replace(b"\n", b"\r\n"),
            ":3: not_utf_8: expected UTF-8 text, got the byte 0xe9; save it as UTF-8",
        ),
        (
            HEADER + ROW + b"a\0.jpg,cat,1,2,3,4\n",
            ":3: nul_byte: expected text, got a NUL byte; remove it; or, if the file is UTF-16, save it as UTF-8",
        ),
        (gzip.compress(HEADER + ROW), f": gzip: expected {A_CSV}, got a file compressed with gzip; unpack it"),
        (
            HEADER + ROW + b'"a.jpg,cat,1,2,3,4\n' + ROW,
            ":3: csv_invalid: expected valid CSV, got a quote that is not closed",
        ),
        (HEADER + b'"a"b.jpg,cat,1,2,3,4\n', ":2: csv_invalid: expected valid CSV, got ',' expected after '\"'"),
        (
            HEADER + ROW + b'"' + b"x" * 70_000 + b'",cat,1,2,3,4\n',
            ":3: csv_invalid: expected valid CSV, got a field of over 65536",
        ),
        (
            HEADER + ROW + b'"' + ROW * 9_000,
            ":3: csv_invalid: expected valid CSV, got a field of over 65536 characters",
        ),
        (
            (HEADER + ROW).replace(b",", b";"),
            ":1: semicolons: expected commas between columns, got semicolons; set `separator`",
        ),
    ],
    ids=lambda value: value[:40].strip(": ") if isinstance(value, str) else "",
)
def test_a_file_that_is_no_csv_is_refused_and_its_line_named(raw: Path, content: bytes, message: str) -> None:
    (fault,) = faults(raw, content)
    assert fault.startswith(message)


def test_a_field_of_64_kib_is_read(raw: Path) -> None:
    assert read(raw, HEADER + b"x" * 65_536 + b",cat,1,2,3,4\n")["image"].tolist() == ["x" * 65_536]


@pytest.mark.parametrize(
    ("header", "messages"),
    [
        (
            b"image,label,xmin,ymin,right,ymax\n",
            [
                ":1:xmax: column_missing: expected a column 'xmax', "
                "got the columns image, label, xmin, ymin, right, ymax"
            ],
        ),
        (HEADER.replace(b"\n", b",image\n"), [":1:image: column_twice: expected one column 'image', got 2"]),
        (HEADER.replace(b"\n", b",other,other\n"), [":1:other: column_twice: expected one column 'other', got 2"]),
        (
            HEADER.replace(b"\n", b", extra\n"),
            [":1: extra: column_spaces: expected 'extra', got ' extra', with spaces around it"],
        ),
        (
            HEADER.replace(b"label", b"label "),
            [
                ":1:label: column_missing: expected a column 'label', "
                "got the columns image, label , xmin, ymin, xmax, ymax",
                ":1:label : column_spaces: expected 'label', got 'label ', with spaces around it",
            ],
        ),
        (
            b"\n\nimage,image,xmin,ymin,xmax\n",
            [
                ":3:ymax: column_missing: expected a column 'ymax', got the columns image, image, xmin, ymin, xmax",
                ":3:label: column_missing: expected a column 'label', got the columns image, image, xmin, ymin, xmax",
                ":3:image: column_twice: expected one column 'image', got 2",
            ],
        ),
    ],
    ids=["missing", "duplicate", "duplicate-unused", "space-unused", "space", "all-at-once"],
)
def test_every_fault_of_a_header_is_named(raw: Path, header: bytes, messages: list[str]) -> None:
    assert [fault.split("; ")[0] for fault in faults(raw, header + ROW)] == messages


def test_columns_that_the_config_does_not_name_are_left_out(raw: Path) -> None:
    found = read(raw, b"weight," + HEADER + b"9," + ROW)
    assert found["image"].tolist() == ["a.jpg"]
    assert "weight" not in found


def test_every_row_with_an_extra_or_missing_field_is_named(raw: Path) -> None:
    content = HEADER + b"a.jpg,cat,1,2,3,4,5\n" + ROW + b"\nb.jpg,cat,1\n"
    assert faults(raw, content) == [
        ":2: field_count: expected 6 fields, as in the header, got 7; " + FIELDS,
        ":5: field_count: expected 6 fields, as in the header, got 3; " + FIELDS,
    ]


def test_an_extra_field_on_every_row_is_refused_and_shifts_nothing(raw: Path) -> None:
    assert len(faults(raw, HEADER + b"a.jpg,cat,1,2,3,4,5\n" * 3)) == 3


def test_of_many_faults_the_message_has_three_and_counts_the_rest(raw: Path) -> None:
    with pytest.raises(BadFileError) as error:
        read(raw, HEADER + b"short\n" * 25)
    assert len(error.value.findings) == 25
    assert [": got 1" in line for line in str(error.value).splitlines()] == [False, True, True, True, False, False]
    assert "  and 22 more" in str(error.value)


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (HEADER + b"\n\n" + ROW + b"\n" + ROW, [4, 6]),
        (HEADER + b'"a\nb.jpg",cat,1,2,3,4\n' + ROW, [2, 4]),
        ((HEADER + b'"a\nb.jpg",cat,1,2,3,4\n\n' + ROW).replace(b"\n", b"\r\n"), [2, 5]),
        (HEADER + "a\u2028b\x0b.jpg,cat,1,2,3,4\n".encode() + ROW, [2, 3]),  # what str.splitlines would count
        (b"\n" + HEADER + ROW, [3]),
    ],
    ids=["blank-lines", "quoted-newline", "crlf", "other-separators", "blank-first"],
)
def test_lines_are_those_that_an_editor_shows(raw: Path, content: bytes, lines: list[int]) -> None:
    assert read(raw, content)["line"].tolist() == lines


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_a_quoted_newline_is_the_same_however_the_file_ends_its_lines(raw: Path, newline: bytes) -> None:
    content = HEADER + b'"a\nb.jpg",cat,1,2,3,4\n'
    assert read(raw, content.replace(b"\n", newline))["image"].tolist() == ["a\nb.jpg"]


def test_records_come_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b'a,"b\nc"\n\nd\n')
    assert list(csv_records(path, Layout())) == [(1, ["a", "b\nc"]), (4, ["d"])]


def test_a_missing_file_is_refused(raw: Path) -> None:
    with pytest.raises(
        ValueError, match=r"boxes\.csv: file_missing: expected annotations of the format csv, got nothing"
    ):
        read_raw(config(), raw)


def test_an_empty_directory_in_the_place_of_a_csv_is_refused(raw: Path) -> None:
    (raw / "boxes.csv").mkdir()
    with pytest.raises(
        ValueError, match=r"boxes\.csv: no_files: expected files of the format csv in the folder, got none"
    ):
        read_raw(config(), raw)


def test_a_fifo_in_the_place_of_a_csv_is_refused_and_does_not_hang(raw: Path) -> None:
    os.mkfifo(raw / "boxes.csv")
    with pytest.raises(
        ValueError, match=r"boxes\.csv: not_a_file: expected a CSV: .*, got no regular file; name the file itself"
    ):
        read_raw(config(), raw)


def test_width_and_height_are_read_from_the_columns_that_the_config_names(raw: Path) -> None:
    (raw / "boxes.csv").write_bytes(b"h,w," + HEADER + b"20,10," + ROW)
    columns = CsvColumns(image="image", box=["xmin", "ymin", "xmax", "ymax"], width="w", height="h")
    found = read_raw(config(columns=columns), raw).iloc[0]
    assert (found["width"], found["height"], found["label"]) == ("10", "20", "")


def test_a_group_is_read_from_the_column_that_the_config_names(raw: Path) -> None:
    (raw / "boxes.csv").write_bytes(b"video," + HEADER + b"v1," + ROW)
    columns = CsvColumns(image="image", box=["xmin", "ymin", "xmax", "ymax"], group="video")
    assert read_raw(config(columns=columns), raw)["group"].tolist() == ["v1"]


def test_a_headers_columns_are_listed_with_what_they_are_used_as(raw: Path) -> None:
    (raw / "boxes.csv").write_bytes(b"\nweight," + HEADER + b"9," + ROW)
    found = read_columns(config(), raw / "boxes.csv")
    assert found["line"].tolist() == [2] * 7
    assert found["column"].tolist() == ["weight", "image", "label", "xmin", "ymin", "xmax", "ymax"]
    assert found["used_as"].tolist() == ["", "image", "label", "box_1", "box_2", "box_3", "box_4"]


def test_a_format_without_a_header_has_no_columns(raw: Path) -> None:
    assert read_columns(voc_config(), raw / "xml").empty


def test_a_byte_order_mark_does_not_move_the_line_of_a_bad_byte(raw: Path) -> None:
    (fault,) = faults(raw, b"\xef\xbb\xbf" + HEADER + b"\n\n\xe9\n")
    assert fault.startswith(":4: not_utf_8: expected UTF-8 text, got the byte 0xe9")


def test_more_rows_than_one_chunk_are_read_in_their_order(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("localizer.datasets.annotations.CHUNK", 2)
    assert read(raw, HEADER + ROW * 5)["line"].tolist() == [2, 3, 4, 5, 6]


def test_coco_and_yolo_are_read_by_their_own_readers(raw: Path) -> None:
    annotation = '{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}'
    coco = (
        '{"images": [{"id": 1, "file_name": "a.jpg"}], "categories": [{"id": 1, "name": "cat"}], "annotations": [%s]}'
    )
    (raw / "all.json").write_text(coco % annotation)
    (raw / "labels").mkdir()
    (raw / "labels" / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    for kind, where, values in (("coco", "all.json", ["1", "2", "3", "4"]), ("yolo", "labels", ["0.5", "0.5", "0.2"])):
        found = read_raw(DatasetConfig.model_validate(NAMED | {"format": kind, "annotations": where}), raw)
        assert found[["box_1", "box_2", "box_3", "box_4"][: len(values)]].iloc[0].tolist() == values


def test_voc_files_are_read_in_the_order_of_their_paths_those_of_subfolders_too(raw: Path) -> None:
    for name in ("b.xml", "sub/a.xml", "a.xml"):
        (raw / "xml" / name).parent.mkdir(parents=True, exist_ok=True)
        (raw / "xml" / name).write_text(voc(name, OBJECT))
    assert read_raw(voc_config(), raw)["image"].tolist() == ["a.xml", "b.xml", "sub/a.xml"]


def test_voc_files_are_read_in_the_order_of_their_names(raw: Path) -> None:
    (raw / "xml").mkdir()
    (raw / "xml" / "2.xml").write_text(voc("two.jpg", OBJECT))
    (raw / "xml" / "1.xml").write_text(voc("one.jpg", OBJECT, OBJECT))
    (raw / "xml" / "notes.txt").write_text("no annotation")
    found = read_raw(voc_config(), raw)
    assert found["image"].tolist() == ["one.jpg", "one.jpg", "two.jpg"]
    assert found["line"].tolist() == [3, 4, 3]
    assert found["file"].iloc[-1] == (raw / "xml" / "2.xml").as_posix()


def test_a_voc_image_without_a_box_has_no_row(raw: Path) -> None:
    (raw / "xml").mkdir()
    (raw / "xml" / "1.xml").write_text(voc("empty.jpg"))
    (raw / "xml" / "2.xml").write_text(voc("full.jpg", OBJECT))
    assert read_raw(voc_config(), raw)["image"].tolist() == ["full.jpg"]


def test_every_broken_voc_file_is_named(raw: Path) -> None:
    (raw / "xml").mkdir()
    for name in ("1.xml", "3.xml"):
        (raw / "xml" / name).write_text("<annotation>")
    (raw / "xml" / "2.xml").write_text(voc("two.jpg", OBJECT))
    with pytest.raises(BadFileError, match="expected valid XML") as error:
        read_raw(voc_config(), raw)
    assert [Path(finding.file).name for finding in error.value.findings] == ["1.xml", "3.xml"]


def test_a_folder_without_a_voc_file_has_not_one_box(raw: Path) -> None:
    (raw / "xml").mkdir()
    with pytest.raises(ValueError, match="no_rows: expected one row per box, got none"):
        read_raw(voc_config(), raw)


def test_a_voc_file_without_an_object_in_the_place_of_a_folder_is_refused(raw: Path) -> None:
    (raw / "xml").write_text("<annotation/>")
    with pytest.raises(ValueError, match="xml: no_rows: expected one row per box, got none"):
        read_raw(voc_config(), raw)


@pytest.mark.parametrize(
    ("files", "target", "kind"),
    [
        (["a.csv"], "a.csv", "csv"),
        (["a.tsv"], "a.tsv", "csv"),
        (["labels"], "labels", "csv"),
        (["x/a.xml", "x/a.jpg"], "x", "voc"),
        (["x/train/a.xml", "x/classes.txt"], "x", "voc"),
        (["x/a.txt", "x/data.yaml"], "x", "yolo"),
        (["x/train/a.txt"], "x", "yolo"),
    ],
)
def test_the_format_is_detected_from_the_files(tmp_path: Path, files: list[str], target: str, kind: str) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("")
    assert detect_format(tmp_path / target) == kind


@pytest.mark.parametrize(
    ("files", "listed"),
    [
        ([], "no file"),
        (["a.jpg", "b.jpg", "readme"], "2 .jpg, 1 no suffix"),
        (["a.xml", "a.txt"], "1 .txt, 1 .xml"),
        (["classes.txt"], "1 .txt"),
    ],
)
def test_a_folder_of_no_format_or_of_two_is_refused_and_its_files_are_counted(
    tmp_path: Path, files: list[str], listed: str
) -> None:
    (tmp_path / "x").mkdir()
    for file in sorted(files):
        (tmp_path / "x" / file).write_text("")
    with pytest.raises(
        ValueError, match=r"x: format_unknown: expected annotations of one of the formats voc,"
    ) as error:
        detect_format(tmp_path / "x")
    got = str(error.value).split(", got a folder with ")[-1].split("; ")[0]
    assert sorted(got.split(", ")) == sorted(listed.split(", "))


def test_missing_annotations_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere: no such file or folder"):
        detect_format(tmp_path / "nowhere")
