"""Creating a data set's folder from a person's files: proposed config, copied annotations, linked images."""

import os
import re
from pathlib import Path
from typing import Any, NoReturn

import pytest
from PIL import Image

from localizer.cli import main
from localizer.dataset import DatasetConfig, read_config
from localizer.datasets.annotations import read_boxes
from localizer.datasets.create import HEADING, create_dataset, track, unused_columns
from localizer.datasets.detection.propose import DatasetProposal, propose_config
from localizer.tables import Table

PLACES = [
    "xmin",
    "x_min",
    "x1",
    "left",
    "x",
    "x_center",
    "cx",
    "ymin",
    "y_min",
    "y1",
    "top",
    "y",
    "y_center",
    "cy",
]  # of a box's beginning or centre
OBJECT = "<object><name>cat</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></object>"


class Owner:
    """A person's own files, and the project's data/."""

    def __init__(self, home: Path) -> None:
        self.root = home / "data"
        self.images = home / "photos"
        self.csv = home / "boxes.csv"
        (self.images / "sub").mkdir(parents=True)
        (self.images / "a.jpg").write_bytes(b"a")
        (self.images / "sub" / "b.jpg").write_bytes(b"b")
        self.write("image,label,xmin,ymin,xmax,ymax", "a.jpg,cat,1,2,3,4", "sub/b.jpg,dog,1,2,3,4")

    def write(self, *lines: str) -> None:
        self.csv.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def write_row(self, header: str) -> None:
        """Write a header and a row with a box in 40 to 90: its beginnings, ends and sides are 40, 90 and 50."""
        values = {"image": "a.jpg"} | dict.fromkeys(PLACES, "40") | dict.fromkeys(["w", "h", "width", "height"], "50")
        values |= dict.fromkeys(["xmax", "x_max", "x2", "right", "ymax", "y_max", "y2", "bottom", "r", "b"], "90") | {
            "l": "40",
            "t": "40",
        }
        self.write(header, ",".join(values.get(name.strip("\ufeff"), "a.jpg") for name in header.split(",")))

    def config(self, **choices: Any) -> DatasetConfig:
        return self.by_boxes(**choices).config

    def by_boxes(self, **choices: Any) -> DatasetProposal:
        return propose_config("mine", self.csv, choices, images=self.images)

    def make(self, name: str = "mine", *, config: DatasetConfig | None = None, images: Path | None = None) -> Path:
        return create_dataset(
            name, config or self.config(), annotations=self.csv, images=images or self.images, root=self.root
        )

    def left_behind(self) -> list[str]:
        return sorted(path.name for path in self.root.iterdir()) if self.root.exists() else []


def read_raw(config: DatasetConfig, folder: Path) -> Table:
    raw = folder / "raw"
    return read_boxes(config, raw / config.annotations, images=raw / config.images)


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
    owner.write_row(header)
    config = owner.config()
    assert config.columns is not None
    assert (config.box_format, config.columns.image, config.columns.label) == (box_format, image, label)
    assert config.columns.box == box.split()


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
    owner.write_row(header)
    config = owner.config()
    assert config.columns is not None
    assert (config.columns.width, config.columns.height) == size


def test_a_choice_goes_before_a_usual_name(owner: Owner) -> None:
    owner.write_row("image,photo,label,kind,xmin,ymin,xmax,ymax,a,b,c,d")
    chosen = {"image": "photo", "label": "kind", "box": ["a", "b", "c", "d"], "width": None}
    config = owner.config(columns=chosen, box_format="xyhw", multiple="largest", on_bad_row=None)
    assert config.columns is not None
    assert (config.columns.image, config.columns.label, config.columns.box) == ("photo", "kind", ["a", "b", "c", "d"])
    assert (config.box_format, config.multiple, config.on_bad_row) == ("xyhw", "largest", "fail")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("photo,a,b,c,d,e", "--image-column and --box-columns, in the order of --box-format"),
        ("photo,xmin,ymin,xmax,ymax", "--image-column"),
        ("image,a,b,c,d,e", "--box-columns, in the order of --box-format"),
    ],
)
def test_columns_that_cannot_be_detected_are_asked_for_with_the_header(
    owner: Owner, header: str, expected: str
) -> None:
    owner.write(header, ",".join(["cat", "1", "2", "3", "4", "5"][: header.count(",") + 1]))
    there = header.replace(",", ", ")
    wished = "expected columns with the image's name and the four numbers of a box"
    message = f"boxes.csv:1: columns_unknown: {wished}, got the columns {there}; pass {expected}"
    with pytest.raises(ValueError, match=re.escape(message) + "$"):
        owner.config()


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"columns": {"box": ["xmin", "ymin", "xmax"]}}, r"columns\.box: .*at least 4 items"),
        ({"clip_px": -1.0}, r"mine/dataset\.yaml\.clip_px: input should be greater"),
        ({"box_format": "yxyx"}, r"mine/dataset\.yaml\.box_format: input should be"),
        ({"box_origin": 1, "box_units": "unit"}, "is allowed with xyxy and xywh in pixels"),
        ({"colour": "red"}, r"mine/dataset\.yaml\.colour: unknown key"),
    ],
)
def test_an_invalid_choice_is_refused(owner: Owner, choices: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        owner.config(**choices)


def test_the_folder_has_the_config_the_annotations_and_the_images(owner: Owner) -> None:
    folder = owner.make()
    assert folder == owner.root / "mine"
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {"dataset.yaml", "raw/boxes.csv", "raw/images/a.jpg", "raw/images/sub/b.jpg"}


def test_the_config_is_read_back_as_it_was_and_begins_with_a_reference_to_the_documentation(owner: Owner) -> None:
    config = owner.config(label="cat", box_origin=1)
    folder = owner.make(config=config)
    assert read_config("mine", root=owner.root) == config
    assert (folder / "dataset.yaml").read_text().startswith(HEADING)


def test_the_new_sets_annotations_can_be_read(owner: Owner) -> None:
    folder = owner.make()
    found = read_raw(read_config("mine", root=owner.root), folder)
    assert found["image"].tolist() == ["a.jpg", "sub/b.jpg"]


def test_a_folder_of_voc_files_makes_a_voc_set(owner: Owner, tmp_path: Path) -> None:
    xml = tmp_path / "xml"
    xml.mkdir()
    (xml / "a.xml").write_text(f"<annotation><filename>a.jpg</filename>{OBJECT}</annotation>")
    config = propose_config("mine", xml, {"box_origin": 1, "columns": {"image": None}}).config
    assert (config.format, config.annotations, config.columns, config.box_origin) == ("voc", "annotations", None, 1)
    folder = create_dataset("mine", config, annotations=xml, images=owner.images, root=owner.root)
    assert read_raw(config, folder)["image"].tolist() == ["a.jpg"]


def test_images_are_hard_links(owner: Owner) -> None:
    raw = owner.make() / "raw"
    assert (raw / "images" / "sub" / "b.jpg").samefile(owner.images / "sub" / "b.jpg")


def test_annotations_are_copies_so_that_the_owners_own_stay_as_they_are(owner: Owner) -> None:
    copied = owner.make() / "raw" / "boxes.csv"
    before = owner.csv.read_text()
    copied.write_text("corrected")
    assert owner.csv.read_text() == before


def test_images_are_copied_where_the_file_system_cannot_link(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    raw = owner.make() / "raw"
    assert (raw / "images" / "a.jpg").read_bytes() == b"a"
    assert not (raw / "images" / "a.jpg").samefile(owner.images / "a.jpg")


def test_a_symbolic_link_among_the_images_becomes_its_target(owner: Owner, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.jpg").write_bytes(b"c")
    (owner.images / "link.jpg").symlink_to(tmp_path / "elsewhere.jpg")
    made = owner.make() / "raw" / "images" / "link.jpg"
    assert not made.is_symlink()
    assert made.read_bytes() == b"c"


def test_what_is_no_regular_file_is_left_out_and_does_not_hang(owner: Owner) -> None:
    os.mkfifo(owner.images / "fifo.jpg")
    assert not (owner.make() / "raw" / "images" / "fifo.jpg").exists()


def test_an_existing_set_is_refused_and_not_changed(owner: Owner) -> None:
    before = (owner.make() / "dataset.yaml").read_bytes()
    with pytest.raises(ValueError, match=r"data/mine: exists already; choose another name"):
        owner.make(config=owner.config(label="cat"))
    assert (owner.root / "mine" / "dataset.yaml").read_bytes() == before


@pytest.mark.parametrize("name", ["", ".", "..", "../mine", "a/b", "/tmp/mine", "my set", "-S", ".mine", "mine\n", "é"])
def test_a_name_that_is_no_plain_folder_name_is_refused_and_nothing_made(owner: Owner, name: str) -> None:
    with pytest.raises(ValueError, match="the name of a data set has letters, digits"):
        owner.make(name)
    assert owner.left_behind() == []


@pytest.mark.parametrize("name", ["mine", "Mine_2", "v1.0-rc", "7"])
def test_a_plain_folder_name_is_accepted(owner: Owner, name: str) -> None:
    assert owner.make(name).name == name


def test_a_bad_csv_leaves_nothing_behind(owner: Owner) -> None:
    config = owner.config()
    owner.write("image,label,xmin,ymin,xmax,ymax", "a.jpg,cat,1,2,3")
    with pytest.raises(ValueError, match=r"boxes\.csv:2: field_count: expected 6 fields, as in the header, got 5"):
        owner.make(config=config)
    assert owner.left_behind() == []


def test_a_chosen_column_that_is_not_there_leaves_nothing_behind(owner: Owner) -> None:
    with pytest.raises(ValueError, match="expected a column 'nope'"):
        owner.make(config=owner.config(columns={"label": "nope"}))
    assert owner.left_behind() == []


def test_a_missing_images_folder_is_named_and_leaves_nothing_behind(owner: Owner) -> None:
    with pytest.raises(ValueError, match="nowhere: no such file or folder"):
        owner.make(images=owner.images / "nowhere")
    assert owner.left_behind() == []


def test_leftovers_of_a_killed_attempt_are_replaced(owner: Owner) -> None:
    stray = owner.root / ".mine.part" / "raw" / "images" / "stray.jpg"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"x")
    raw = owner.make() / "raw"
    assert sorted(path.name for path in (raw / "images").iterdir()) == ["a.jpg", "sub"]
    assert owner.left_behind() == ["mine"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the folder of a DVC project, and stand in it."""
    from dvc.repo import Repo

    monkeypatch.chdir(tmp_path)
    Repo.init(str(tmp_path), no_scm=True).close()
    return tmp_path


# pygtrie's own, raised from within dvc
@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")
def test_images_are_in_dvcs_cache_without_sharing_files_with_the_owners(owner: Owner, project: Path) -> None:
    folder = owner.make()
    assert track(folder, owner.config()) == [folder / "raw" / "images"]
    assert "md5" in (folder / "raw" / "images.dvc").read_text()
    (owner.images / "a.jpg").write_bytes(b"changed later")
    assert (folder / "raw" / "images" / "a.jpg").read_bytes() == b"a"
    cached = [path.read_bytes() for path in (project / ".dvc" / "cache").rglob("*") if path.is_file()]
    assert b"a" in cached
    assert owner.csv.read_bytes() not in cached


@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")
@pytest.mark.usefixtures("project")
def test_large_annotations_are_added_to_dvc_too(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = owner.make()
    monkeypatch.setattr("localizer.datasets.create.MAX_IN_GIT", owner.csv.stat().st_size - 1)
    assert track(folder, owner.config()) == [folder / "raw" / "images", folder / "raw" / "boxes.csv"]
    assert (folder / "raw" / "boxes.csv.dvc").is_file()


def test_tracking_outside_a_project_is_refused_with_the_command_to_run(owner: Owner) -> None:
    folder = owner.make()
    command = re.escape(f"dvc add {folder}/raw/images")
    with pytest.raises(ValueError, match=rf"not added to DVC \(.*\); run `{command}` in the project's folder"):
        track(folder, owner.config())


def test_the_format_of_chosen_columns_does_not_depend_on_other_columns(owner: Owner) -> None:
    owner.write_row("image,x,y,w,h,l,t,r,b")
    assert owner.config(columns={"box": ["l", "t", "r", "b"]}).box_format == "xyxy"
    assert owner.config(columns={"box": ["x", "y", "w", "h"]}).box_format == "xywh"


def test_voc_files_may_be_in_the_folder_of_their_images(owner: Owner) -> None:
    (owner.images / "a.xml").write_text(f"<annotation><filename>a.jpg</filename>{OBJECT}</annotation>")
    config = propose_config("mine", owner.images, {}).config
    folder = create_dataset("mine", config, annotations=owner.images, images=owner.images, root=owner.root)
    assert sorted(path.name for path in (folder / "raw" / config.annotations).iterdir()) == ["a.xml"]
    assert (folder / "raw" / config.images / "sub" / "b.jpg").exists()


def test_unused_columns_are_listed(owner: Owner) -> None:
    owner.write("image,label,xmin,ymin,xmax,ymax,across,down", "a.jpg,cat,1,2,3,4,5,6")
    assert unused_columns(owner.config(), owner.csv) == ["across", "down"]
    assert unused_columns(owner.config(columns={"width": "across", "height": "down"}), owner.csv) == []


def test_every_detected_value_has_a_reason(owner: Owner) -> None:
    rows = ["a.jpg,cat,1,3,9,8,10,8", "sub/b.jpg,cat,3,1,10,7,10,8"] * 2
    owner.write("image,label,xmin,ymin,xmax,ymax,width,height", *rows)
    found = owner.by_boxes(label="cat")
    assert (found.config.box_format, found.config.box_units, found.config.box_origin) == ("xyxy", "pixel", 1)
    assert found.reasons == (
        "format: csv, by the content",
        "image column: image, by its name",
        "label column: label, by its name",
        "box column: xmin, ymin, xmax, ymax, by their names",
        "width column: width, by its name",
        "height column: height, by its name",
        "box_format: xyxy, since 4 of 4 boxes lie within their images (xywh: 0, cxcywh: 0, xyhw: 0), "
        "and the columns are called xmin, ymin, xmax, ymax",
        "box_units: pixel, since 4 of 4 boxes have a value above 1",
        "box_origin: 1, since no box begins below 1, 4 begin at 1, and 4 end at their image's edge, none beyond it",
    )


def test_without_usual_names_the_boxes_are_read(owner: Owner) -> None:
    Image.new("RGB", (100, 80)).save(owner.images / "c.png")
    owner.write("photo,p,q,r,s", "c.png,60,40,50,30", "c.png,60,41,50,30")
    config = owner.config()
    assert config.columns is not None
    assert (config.columns.image, config.columns.box, config.box_format) == ("photo", ["p", "q", "r", "s"], "cxcywh")


def test_sizes_come_from_the_images_where_no_column_has_them(owner: Owner) -> None:
    Image.new("RGB", (100, 80)).save(owner.images / "c.png")
    owner.write("image,xmin,ymin,xmax,ymax", *["c.png,1,1,100,80"] * 3)
    assert owner.by_boxes().config.box_origin == 1


def test_a_broken_csv_is_refused_with_its_lines_before_anything_is_written(owner: Owner) -> None:
    owner.write("image,xmin,ymin,xmax,ymax", "a.jpg,1,2,3")
    with pytest.raises(ValueError, match=r"boxes\.csv:2: field_count: expected 5 fields, as in the header, got 4"):
        owner.by_boxes()


def test_group_and_clip_px_are_as_chosen(owner: Owner) -> None:
    owner.write("image,video,xmin,ymin,xmax,ymax", "a.jpg,v,1,2,3,4")
    config = owner.config(columns={"group": "video"}, clip_px=1.5)
    assert config.columns is not None
    assert (config.columns.group, config.clip_px) == ("video", 1.5)


def test_the_origin_of_voc_files_is_detected_from_their_boxes(tmp_path: Path) -> None:
    size = "<size><width>3</width><height>9</height></size>"
    (tmp_path / "xml").mkdir()
    (tmp_path / "xml" / "a.xml").write_text(f"<annotation><filename>a.jpg</filename>{size}{OBJECT * 3}</annotation>")
    found = propose_config("mine", tmp_path / "xml", {})
    assert found.config.box_origin == 1
    assert found.reasons == (
        "format: voc, by the files in the folder",
        "box_origin: 1, since no box begins below 1, 3 begin at 1, and 3 end at their image's edge, none beyond it",
    )


def test_a_format_with_a_fixed_encoding_accepts_no_other(tmp_path: Path) -> None:
    (tmp_path / "all.json").write_text('{"images": [], "annotations": [], "categories": []}')
    config = propose_config("mine", tmp_path / "all.json", {}).config
    assert (config.format, config.box_format, config.box_units, config.columns) == ("coco", "xywh", "pixel", None)
    with pytest.raises(ValueError, match="coco boxes are xywh in pixels"):
        propose_config("mine", tmp_path / "all.json", {"box_format": "xyxy"})


def test_a_coco_file_makes_a_coco_set(owner: Owner, tmp_path: Path) -> None:
    boxes = '[{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}]'
    (tmp_path / "all.json").write_text(
        '{"images": [{"id": 1, "file_name": "a.jpg"}], "categories": [{"id": 1, "name": "cat"}], '
        f'"annotations": {boxes}}}'
    )
    config = propose_config("mine", tmp_path / "all.json", {}).config
    folder = create_dataset("mine", config, annotations=tmp_path / "all.json", images=owner.images, root=owner.root)
    assert read_raw(read_config("mine", root=owner.root), folder)["label"].tolist() == ["cat"]


@pytest.mark.parametrize("names", ["data.yaml", "classes.txt", "labels/classes.txt", "labels/data.yaml"])
def test_a_folder_of_yolo_files_makes_a_yolo_set_and_its_classes_names_come_along(
    owner: Owner, tmp_path: Path, names: str
) -> None:
    labels = tmp_path / "yolo" / "labels"
    (labels / "sub").mkdir(parents=True)
    (labels / "sub" / "b.txt").write_text("1 0.5 0.5 0.2 0.2\n")
    (tmp_path / "yolo" / names).write_text("names: [cat, dog]" if names.endswith("yaml") else "cat\ndog\n")
    config = propose_config("mine", labels, {}, images=owner.images).config
    assert (config.format, config.annotations, config.box_format, config.box_units) == (
        "yolo",
        "annotations",
        "cxcywh",
        "unit",
    )
    folder = create_dataset("mine", config, annotations=labels, images=owner.images, root=owner.root)
    found = read_raw(read_config("mine", root=owner.root), folder)
    assert found[["image", "label"]].to_numpy().tolist() == [["sub/b.jpg", "dog"]]


# pygtrie's own, raised from within dvc
@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")
@pytest.mark.usefixtures("project")
def test_the_command_prints_what_it_detected_and_what_to_do(owner: Owner, capsys: pytest.CaptureFixture[str]) -> None:
    owner.write("image,label,xmin,ymin,xmax,ymax,by", "a.jpg,cat,1,2,3,4,Ann")
    status = main(["init", "mine", "--annotations", str(owner.csv), "--images", str(owner.images), "--clip-px", "2"])
    printed = capsys.readouterr().out
    assert status == 1  # its images are none
    assert read_config("mine").clip_px == 2
    assert printed.startswith("data/mine/dataset.yaml contains:\n  format: csv, by the content\n  image column: image")
    assert "Columns not used: by" in printed
    assert "DVC tracks data/mine/raw/images; git tracks the rest" in printed
    assert "git add data/mine && git commit" in printed


def test_the_command_fails_with_what_is_wrong(owner: Owner, capsys: pytest.CaptureFixture[str]) -> None:
    owner.write("image,xmin,ymin,xmax,ymax", "a.jpg,1,2,3")
    assert main(["init", "mine", "--annotations", str(owner.csv), "--images", str(owner.images)]) == 1
    assert "boxes.csv:2: field_count: expected 5 fields, as in the header, got 4" in capsys.readouterr().err
    assert not Path("data").exists()
