"""Making a data set's folder from a person's files: drafted card, linked files, nothing left behind."""

import os
import re
from pathlib import Path
from typing import Any, NoReturn

import pytest

from localizer.data.annotations import read_annotations
from localizer.data.card import Card, read_card
from localizer.data.intake import NEXT, draft_card, make_data_set, track, unused_columns

ROW = ",".join("123456789")
OBJECT = "<object><name>cat</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></object>"


class Owner:
    """A person's own files, and the project's data/ beside them."""

    def __init__(self, home: Path) -> None:
        self.root = home / "data"
        self.images = home / "pictures"
        self.csv = home / "boxes.csv"
        (self.images / "sub").mkdir(parents=True)
        (self.images / "a.jpg").write_bytes(b"a")
        (self.images / "sub" / "b.jpg").write_bytes(b"b")
        self.write("image,label,xmin,ymin,xmax,ymax", "a.jpg,cat,1,2,3,4", "sub/b.jpg,dog,1,2,3,4")

    def write(self, *lines: str) -> None:
        self.csv.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def draft(self, **choices: Any) -> Card:
        return draft_card("mine", self.csv, choices)

    def make(self, name: str = "mine", *, card: Card | None = None, images: Path | None = None) -> Path:
        return make_data_set(
            name, card or self.draft(), annotations=self.csv, images=images or self.images, root=self.root
        )

    def left_behind(self) -> list[str]:
        return sorted(path.name for path in self.root.iterdir()) if self.root.exists() else []


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    return Owner(tmp_path)


@pytest.mark.parametrize(
    ("header", "box_format", "image", "box", "label"),
    [
        ("image,label,xmin,ymin,xmax,ymax", "xyxy", "image", "xmin ymin xmax ymax", "label"),
        ("class,filename,x_min,y_min,x_max,y_max", "xyxy", "filename", "x_min y_min x_max y_max", "class"),
        ("path,x1,y1,x2,y2,category", "xyxy", "path", "x1 y1 x2 y2", "category"),
        ("file,left,top,right,bottom", "xyxy", "file", "left top right bottom", None),
        ("image_path,x,y,w,h", "xywh", "image_path", "x y w h", None),
        ("file_name,cx,cy,w,h", "cxcywh", "file_name", "cx cy w h", None),
        ("image_id,x_center,y_center,width,height", "cxcywh", "image_id", "x_center y_center width height", None),
        ("ymax,xmax,ymin,xmin,image", "xyxy", "image", "xmin ymin xmax ymax", None),
        ("\ufeffimage,xmin,ymin,xmax,ymax", "xyxy", "image", "xmin ymin xmax ymax", None),
    ],
)
def test_columns_are_known_by_their_usual_names(
    owner: Owner, header: str, box_format: str, image: str, box: str, label: str | None
) -> None:
    owner.write(header, ROW)
    card = owner.draft()
    assert card.columns is not None
    assert (card.box_format, card.columns.image, card.columns.label) == (box_format, image, label)
    assert card.columns.box == box.split()


@pytest.mark.parametrize(
    ("header", "size"),
    [
        ("image,xmin,ymin,xmax,ymax,width,height", ("width", "height")),
        ("image,xmin,ymin,xmax,ymax", (None, None)),
        ("image,x_center,y_center,width,height", (None, None)),  # the box's, not the image's
    ],
)
def test_width_and_height_are_the_images_where_they_are_not_the_boxes(
    owner: Owner, header: str, size: tuple[str | None, str | None]
) -> None:
    owner.write(header, ROW)
    card = owner.draft()
    assert card.columns is not None
    assert (card.columns.width, card.columns.height) == size


def test_a_choice_goes_before_a_usual_name(owner: Owner) -> None:
    owner.write("image,photo,label,kind,xmin,ymin,xmax,ymax,a,b,c,d", ROW)
    chosen = {"image": "photo", "label": "kind", "box": ["a", "b", "c", "d"], "width": None}
    card = owner.draft(columns=chosen, box_format="xyhw", multiple="largest", on_bad_row=None)
    assert card.columns is not None
    assert (card.columns.image, card.columns.label, card.columns.box) == ("photo", "kind", ["a", "b", "c", "d"])
    assert (card.box_format, card.multiple, card.on_bad_row) == ("xyhw", "largest", "fail")


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("photo,a,b,c,d", "--image-column and --box-columns, in the order of --box-format"),
        ("photo,xmin,ymin,xmax,ymax", "--image-column"),
        ("image,a,b,c,d", "--box-columns, in the order of --box-format"),
        ("image,x,y,height,width", "--box-columns, in the order of --box-format"),
    ],
)
def test_columns_that_cannot_be_told_are_asked_for_with_the_header(owner: Owner, header: str, wanted: str) -> None:
    owner.write(header, ROW)
    message = f"boxes.csv:1: say {wanted}; the columns are {header.replace(',', ', ')}"
    with pytest.raises(ValueError, match=re.escape(message) + "$"):
        owner.draft()


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"columns": {"box": ["xmin", "ymin", "xmax"]}}, r"columns\.box: .*at least 4 items"),
        ({"box_format": "yxyx"}, r"mine/dataset\.yaml\.box_format: input should be"),
        ({"box_origin": 1, "box_units": "unit"}, "does not go with"),
        ({"colour": "red"}, r"mine/dataset\.yaml\.colour: unknown key"),
    ],
)
def test_a_choice_that_a_card_refuses_is_refused(owner: Owner, choices: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        owner.draft(**choices)


def test_the_folder_has_a_card_the_annotations_and_the_images(owner: Owner) -> None:
    folder = owner.make()
    assert folder == owner.root / "mine"
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {"dataset.yaml", "raw/boxes.csv", "raw/images/a.jpg", "raw/images/sub/b.jpg"}


def test_the_written_card_is_read_back_as_it_was_and_begins_with_where_to_read_on(owner: Owner) -> None:
    card = owner.draft(label="cat", box_origin=1)
    folder = owner.make(card=card)
    assert read_card("mine", root=owner.root) == card
    assert (folder / "dataset.yaml").read_text().startswith(NEXT)


def test_the_new_sets_annotations_can_be_read(owner: Owner) -> None:
    folder = owner.make()
    found = read_annotations(read_card("mine", root=owner.root), folder / "raw")
    assert found["image"].tolist() == ["a.jpg", "sub/b.jpg"]


def test_a_folder_of_voc_files_makes_a_voc_set(owner: Owner, tmp_path: Path) -> None:
    xml = tmp_path / "xml"
    xml.mkdir()
    (xml / "a.xml").write_text(f"<annotation><filename>a.jpg</filename>{OBJECT}</annotation>")
    card = draft_card("mine", xml, {"box_origin": 1, "columns": {"image": None}})
    assert (card.format, card.annotations, card.columns, card.box_origin) == ("voc", "annotations", None, 1)
    folder = make_data_set("mine", card, annotations=xml, images=owner.images, root=owner.root)
    assert read_annotations(card, folder / "raw")["image"].tolist() == ["a.jpg"]


def test_files_are_hard_links_and_take_no_room(owner: Owner) -> None:
    raw = owner.make() / "raw"
    assert (raw / "images" / "sub" / "b.jpg").samefile(owner.images / "sub" / "b.jpg")
    assert (raw / "boxes.csv").samefile(owner.csv)


def test_files_are_copied_where_the_file_system_cannot_link(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    raw = owner.make() / "raw"
    assert (raw / "images" / "a.jpg").read_bytes() == b"a"
    assert not (raw / "images" / "a.jpg").samefile(owner.images / "a.jpg")


def test_a_symbolic_link_among_the_images_becomes_the_file_that_it_means(owner: Owner, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.jpg").write_bytes(b"c")
    (owner.images / "link.jpg").symlink_to(tmp_path / "elsewhere.jpg")
    made = owner.make() / "raw" / "images" / "link.jpg"
    assert not made.is_symlink()
    assert made.read_bytes() == b"c"


def test_what_is_no_regular_file_is_left_out_and_does_not_hang(owner: Owner) -> None:
    os.mkfifo(owner.images / "fifo.jpg")
    assert not (owner.make() / "raw" / "images" / "fifo.jpg").exists()


def test_a_set_that_is_there_already_is_refused_and_left_alone(owner: Owner) -> None:
    before = (owner.make() / "dataset.yaml").read_bytes()
    with pytest.raises(ValueError, match=r"data/mine: is there already; choose another name"):
        owner.make(card=owner.draft(label="cat"))
    assert (owner.root / "mine" / "dataset.yaml").read_bytes() == before


@pytest.mark.parametrize("name", ["", ".", "..", "../mine", "a/b", "/tmp/mine", "my set", "-S", ".mine", "mine\n", "é"])
def test_a_name_that_is_no_plain_folder_name_is_refused_and_nothing_made(owner: Owner, name: str) -> None:
    with pytest.raises(ValueError, match="the name of a data set has letters, digits"):
        owner.make(name)
    assert owner.left_behind() == []


@pytest.mark.parametrize("name", ["mine", "Mine_2", "v1.0-rc", "7"])
def test_a_plain_folder_name_is_taken(owner: Owner, name: str) -> None:
    assert owner.make(name).name == name


def test_a_bad_csv_leaves_nothing_behind(owner: Owner) -> None:
    card = owner.draft()
    owner.write("image,label,xmin,ymin,xmax,ymax", "a.jpg,cat,1,2,3")
    with pytest.raises(ValueError, match=r"boxes\.csv:2: 5 fields, wanted 6"):
        owner.make(card=card)
    assert owner.left_behind() == []


def test_a_chosen_column_that_is_not_there_leaves_nothing_behind(owner: Owner) -> None:
    with pytest.raises(ValueError, match="no column 'nope'"):
        owner.make(card=owner.draft(columns={"label": "nope"}))
    assert owner.left_behind() == []


def test_a_missing_images_folder_is_named_and_leaves_nothing_behind(owner: Owner) -> None:
    with pytest.raises(ValueError, match="nowhere: no such file or folder"):
        owner.make(images=owner.images / "nowhere")
    assert owner.left_behind() == []


def test_what_a_killed_attempt_left_is_replaced(owner: Owner) -> None:
    stray = owner.root / ".mine.part" / "raw" / "images" / "stray.jpg"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"x")
    raw = owner.make() / "raw"
    assert sorted(path.name for path in (raw / "images").iterdir()) == ["a.jpg", "sub"]
    assert owner.left_behind() == ["mine"]


# pygtrie's own, raised from within dvc
@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")
def test_tracked_files_are_in_dvcs_cache_and_the_owners_own_are_not_shared_with_it(
    owner: Owner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dvc.repo import Repo

    monkeypatch.chdir(tmp_path)
    Repo.init(str(tmp_path), no_scm=True).close()
    raw = owner.make() / "raw"
    track(raw)
    assert "md5" in raw.with_suffix(".dvc").read_text()
    (owner.images / "a.jpg").write_bytes(b"changed later")
    assert (raw / "images" / "a.jpg").read_bytes() == b"a"
    cached = [path.read_bytes() for path in (tmp_path / ".dvc" / "cache").rglob("*") if path.is_file()]
    assert b"a" in cached


def test_tracking_outside_a_project_is_refused_and_the_command_told(
    owner: Owner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = owner.make() / "raw"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=rf"not added to DVC \(.*\); run `dvc add {re.escape(str(raw))}`"):
        track(raw)


def test_chosen_columns_take_no_format_from_others_that_are_there_too(owner: Owner) -> None:
    owner.write("image,x,y,w,h,l,t,r,b", ROW)
    assert owner.draft(columns={"box": ["l", "t", "r", "b"]}).box_format == "xyxy"
    assert owner.draft(columns={"box": ["x", "y", "w", "h"]}).box_format == "xywh"


def test_voc_files_may_lie_beside_their_images(owner: Owner) -> None:
    (owner.images / "a.xml").write_text(f"<annotation><filename>a.jpg</filename>{OBJECT}</annotation>")
    card = draft_card("mine", owner.images, {})
    folder = make_data_set("mine", card, annotations=owner.images, images=owner.images, root=owner.root)
    assert sorted(path.name for path in (folder / "raw" / card.annotations).iterdir()) == ["a.xml"]
    assert (folder / "raw" / card.images / "sub" / "b.jpg").exists()


def test_columns_that_nothing_is_taken_from_are_told(owner: Owner) -> None:
    owner.write("image,label,xmin,ymin,xmax,ymax,imgw,imgh", "a.jpg,cat,1,2,3,4,5,6")
    assert unused_columns(owner.draft(), owner.csv) == ["imgw", "imgh"]
    assert unused_columns(owner.draft(columns={"width": "imgw", "height": "imgh"}), owner.csv) == []
