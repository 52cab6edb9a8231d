"""The record of one image, from small tables written by hand."""

import hashlib
from pathlib import Path

import pytest

from localizer.lineage.image_record import FindingRecord, ImageRecord, PredictionRecord, find_images, image_record

RAW = "data/cats/raw"
CONTENT = {"a.jpg": b"a", "b.jpg": b"b", "copy of b.jpg": b"b", "c.jpg": b"c"}
EDGES = "xmin_px,ymin_px,xmax_px,ymax_px"


def sha256(name: str) -> str:
    return hashlib.sha256(CONTENT[name]).hexdigest()


@pytest.fixture(autouse=True)
def _tables(tmp_path: Path) -> None:
    """Write four images: a in the test split, b and its copy in one cluster, c quarantined."""
    boxes = ("a.jpg,cat,1,2,3,4", "b.jpg,cat,1,2,3,4", "copy of b.jpg,cat,1,2,3,4", "c.jpg,dog,5,6,,8")
    rows = [f"{RAW}/all.json,1,annotations[{number}],{box}" for number, box in enumerate(boxes)]
    missing_value = f"{RAW}/all.json,1,annotations[3].bbox[2],value_missing,critical,nothing,a number,write it"
    other_element = f"{RAW}/all.json,1,annotations[30].bbox[2],value_missing,critical,nothing,a number,write it"
    odd_mode = f"{RAW}/a.jpg,,,odd_mode,warning,mode L,RGB,nothing"
    splits = [
        f"{name},{split},{sha256(name)}"
        for name, split in (("a.jpg", "test"), ("b.jpg", "train"), ("copy of b.jpg", "train"))
    ]
    tables = {
        "tables/images.csv": [
            "image,path,sha256,problem",
            *(f"{name},{RAW}/{name},{sha256(name)}," for name in CONTENT),
        ],
        "tables/annotations.csv": [f"file,line,element,image,label,{EDGES}", *rows],
        "tables/split.csv": ["image,split,cluster", *splits],
        "tables/dataset.yaml": ["title: cats"],
        "reports/validate/findings.csv": [
            "file,line,column,rule,severity,got,expected,fix",
            missing_value,
            other_element,
            odd_mode,
        ],
        "reports/validate/quarantine.csv": [
            "file,line,element,image,reasons",
            f"{RAW}/all.json,1,annotations[3],c.jpg,value_missing",
        ],
        "reports/evaluate/predictions.csv": [
            "image,pred_xmin_px,pred_ymin_px,pred_xmax_px,pred_ymax_px,iou",
            "a.jpg,1.5,2,3,4,0.75",
        ],
    }
    files = {name: ("\n".join(lines) + "\n").encode() for name, lines in tables.items()}
    files |= {f"{RAW}/{name}": content for name, content in CONTENT.items()}
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)


def record(asked: str) -> ImageRecord:
    (row,) = (row for _, row in find_images(asked).iterrows())
    return image_record(row, asked=asked)


@pytest.mark.parametrize("asked", ["a.jpg", f"{RAW}/a.jpg", f"./{RAW}/a.jpg", "absolute"])
def test_an_image_is_found_by_name_and_by_path(asked: str, tmp_path: Path) -> None:
    image = record(str(tmp_path / RAW / "a.jpg") if asked == "absolute" else asked)
    assert (image.image, image.path, image.dataset) == ("a.jpg", f"{RAW}/a.jpg", "cats")
    assert not image.changed


def test_a_copy_of_an_image_elsewhere_is_found_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(CONTENT["c.jpg"])
    assert record("photo.png").image == "c.jpg"


def test_content_of_two_images_gives_both(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(CONTENT["b.jpg"])
    assert list(find_images("photo.png")["image"]) == ["b.jpg", "copy of b.jpg"]


def test_a_file_that_is_not_in_the_images_table_gives_no_rows(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(b"another")
    assert find_images("photo.png").empty


def test_a_changed_file_is_reported() -> None:
    Path(RAW, "a.jpg").write_bytes(b"painted over")
    assert record("a.jpg").changed


def test_split_cluster_and_copies_are_those_of_the_split() -> None:
    image = record("b.jpg")
    assert (image.split, image.cluster, image.cluster_members) == ("train", sha256("b.jpg"), ("copy of b.jpg",))


def test_a_split_table_of_an_older_version_is_read() -> None:
    Path("tables/split.csv").write_text("image,side,cluster\na.jpg,test,0\n")
    assert record("a.jpg").split == "test"


def test_the_prediction_has_its_iou() -> None:
    assert record("a.jpg").prediction == PredictionRecord((1.5, 2.0, 3.0, 4.0), 0.75)


def test_a_quarantined_row_has_the_reason_and_no_split() -> None:
    image = record("c.jpg")
    (row,) = image.annotations
    assert (row.file, row.line, row.element, row.label) == (f"{RAW}/all.json", "1", "annotations[3]", "dog")
    assert row.box_xyxy_px == (5.0, 6.0, None, 8.0)
    assert row.set_aside == "value_missing"
    assert (image.split, image.cluster, image.cluster_members, image.prediction) == (None, None, (), None)


def test_findings_match_by_element_where_all_rows_are_on_one_line() -> None:
    place = f"{RAW}/all.json:1:annotations[3].bbox[2]"
    assert record("c.jpg").findings == (
        FindingRecord(place, "value_missing", "critical", "nothing", "a number", "write it"),
    )


def test_findings_on_the_images_file_are_included() -> None:
    assert [finding.rule for finding in record("a.jpg").findings] == ["odd_mode"]


def test_a_missing_table_is_named() -> None:
    Path("reports/evaluate/predictions.csv").unlink()
    image = record("a.jpg")
    assert image.missing == ("reports/evaluate/predictions.csv",)
    assert image.prediction is None
    assert image.split == "test"


def test_a_missing_column_is_an_error_that_names_the_fix() -> None:
    Path("tables/split.csv").write_text("image,split\na.jpg,test\n")
    with pytest.raises(ValueError, match=r"tables/split\.csv: missing column cluster; `dvc checkout`"):
        record("a.jpg")


def test_no_image_is_found_without_the_images_table() -> None:
    Path("tables/images.csv").unlink()
    assert find_images("a.jpg").empty
