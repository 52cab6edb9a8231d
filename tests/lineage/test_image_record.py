"""What the tables say of one image, on small tables written by hand."""

import hashlib
from pathlib import Path

import pytest

from localizer.lineage.image_record import Prediction, Told, Whereabouts, find_images, whereabouts

RAW = "data/cats/raw"
CONTENT = {"a.jpg": b"a", "b.jpg": b"b", "copy of b.jpg": b"b", "c.jpg": b"c"}
EDGES = "xmin_px,ymin_px,xmax_px,ymax_px"


def sha256(name: str) -> str:
    return hashlib.sha256(CONTENT[name]).hexdigest()


@pytest.fixture(autouse=True)
def _tables(tmp_path: Path) -> None:
    """Write four images: a on the test side, b and its copy in one cluster, c quarantined."""
    boxes = ("a.jpg,cat,1,2,3,4", "b.jpg,cat,1,2,3,4", "copy of b.jpg,cat,1,2,3,4", "c.jpg,dog,5,6,,8")
    rows = [f"{RAW}/all.json,1,annotations[{number}],{box}" for number, box in enumerate(boxes)]
    fault = f"{RAW}/all.json,1,annotations[3].bbox[2],value_missing,critical,nothing,a number,write it"
    other = f"{RAW}/all.json,1,annotations[30].bbox[2],value_missing,critical,nothing,a number,write it"
    grey = f"{RAW}/a.jpg,,,odd_mode,warning,mode L,RGB,nothing"
    sides = [
        f"{name},{side},{sha256(name)}"
        for name, side in (("a.jpg", "test"), ("b.jpg", "train"), ("copy of b.jpg", "train"))
    ]
    tables = {
        "tables/images.csv": [
            "image,path,sha256,problem",
            *(f"{name},{RAW}/{name},{sha256(name)}," for name in CONTENT),
        ],
        "tables/annotations.csv": [f"file,line,element,image,label,{EDGES}", *rows],
        "tables/split.csv": ["image,side,cluster", *sides],
        "tables/dataset.yaml": ["title: cats"],
        "reports/validate/findings.csv": ["file,line,column,rule,severity,got,expected,fix", fault, other, grey],
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


def told(asked: str) -> Whereabouts:
    (row,) = (row for _, row in find_images(asked).iterrows())
    return whereabouts(row, asked=asked)


@pytest.mark.parametrize("asked", ["a.jpg", f"{RAW}/a.jpg", f"./{RAW}/a.jpg", "absolute"])
def test_an_image_is_found_by_name_and_by_path(asked: str, tmp_path: Path) -> None:
    found = told(str(tmp_path / RAW / "a.jpg") if asked == "absolute" else asked)
    assert (found.image, found.path, found.dataset) == ("a.jpg", f"{RAW}/a.jpg", "cats")
    assert not found.changed


def test_an_image_that_lies_elsewhere_is_found_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(CONTENT["c.jpg"])
    assert told("photo.png").image == "c.jpg"


def test_a_content_that_two_images_have_gives_both(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(CONTENT["b.jpg"])
    assert list(find_images("photo.png")["image"]) == ["b.jpg", "copy of b.jpg"]


def test_a_file_that_is_no_image_of_the_tables_gives_none(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(b"another")
    assert find_images("photo.png").empty


def test_a_file_that_has_changed_is_told() -> None:
    Path(RAW, "a.jpg").write_bytes(b"painted over")
    assert told("a.jpg").changed


def test_side_cluster_and_copies_are_those_of_the_split() -> None:
    found = told("b.jpg")
    assert (found.side, found.cluster, found.copies) == ("train", sha256("b.jpg"), ("copy of b.jpg",))


def test_the_prediction_is_told_with_its_iou() -> None:
    assert told("a.jpg").prediction == Prediction((1.5, 2.0, 3.0, 4.0), 0.75)


def test_a_quarantined_row_is_told_with_the_reason_and_without_a_side() -> None:
    found = told("c.jpg")
    (row,) = found.annotations
    assert (row.file, row.line, row.element, row.label) == (f"{RAW}/all.json", "1", "annotations[3]", "dog")
    assert row.box_xyxy_px == (5.0, 6.0, None, 8.0)
    assert row.set_aside == "value_missing"
    assert (found.side, found.cluster, found.copies, found.prediction) == (None, None, (), None)


def test_findings_are_those_of_the_rows_element_where_all_stand_on_one_line() -> None:
    place = f"{RAW}/all.json:1:annotations[3].bbox[2]"
    assert told("c.jpg").findings == (Told(place, "value_missing", "critical", "nothing", "a number", "write it"),)


def test_findings_about_the_images_file_are_told() -> None:
    assert [one.rule for one in told("a.jpg").findings] == ["odd_mode"]


def test_a_table_that_is_not_there_is_named() -> None:
    Path("reports/evaluate/predictions.csv").unlink()
    found = told("a.jpg")
    assert found.missing == ("reports/evaluate/predictions.csv",)
    assert found.prediction is None
    assert found.side == "test"


def test_a_table_without_a_column_is_refused_with_the_way_out() -> None:
    Path("tables/split.csv").write_text("image,side\na.jpg,test\n")
    with pytest.raises(ValueError, match=r"tables/split\.csv: no column cluster; `dvc checkout`"):
        told("a.jpg")


def test_without_the_images_table_nothing_is_found() -> None:
    Path("tables/images.csv").unlink()
    assert find_images("a.jpg").empty
