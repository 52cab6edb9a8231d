"""A data set's card: what it accepts and which contradictions it refuses."""

from pathlib import Path

import pytest

from localizer.config import parse
from localizer.dataset import DatasetConfig, Drift, GitSource, read_config

COLUMNS = {"image": "image", "box": ["a", "b", "c", "d"]}
VOC: dict[str, object] = {"title": "toy", "format": "voc", "annotations": "xml", "images": "images"}
CSV = VOC | {"format": "csv", "annotations": "boxes.csv", "columns": COLUMNS}
COCO = VOC | {"format": "coco", "annotations": "boxes.json"}
YOLO = VOC | {"format": "yolo", "annotations": "labels"}
SOURCE = {
    "repository": "https://example.org/owner/repo",
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "paths": ["images"],
    "digest": "0123456789abcdef" * 4,
}


def card(values: dict[str, object], **changed: object) -> DatasetConfig:
    return parse(DatasetConfig, values | changed, where="card")


def test_a_card_fails_on_a_bad_row_and_on_several_boxes_unless_it_says_otherwise() -> None:
    drafted = card(CSV)
    assert (drafted.on_bad_row, drafted.multiple, drafted.max_bad_fraction) == ("fail", "error", 0.01)


def test_a_card_reads_xyxy_pixels_from_0_unless_it_says_otherwise() -> None:
    drafted = card(VOC)
    assert (drafted.box_format, drafted.box_units, drafted.box_origin) == ("xyxy", "pixel", 0)


@pytest.mark.parametrize(
    ("values", "box_format", "units"),
    [(VOC, "xyxy", "pixel"), (COCO, "xywh", "pixel"), (YOLO, "cxcywh", "unit")],
    ids=["voc", "coco", "yolo"],
)
def test_a_format_that_says_how_its_boxes_are_written_needs_no_key(
    values: dict[str, object], box_format: str, units: str
) -> None:
    drafted = card(values)
    assert (drafted.box_format, drafted.box_units) == (box_format, units)
    assert card(values, box_format=box_format, box_units=units) == drafted


def test_a_card_read_back_from_its_own_values_is_the_same() -> None:
    drafted = card(YOLO, drift={"moved": 0.2})
    assert card(drafted.model_dump(exclude_none=True)) == drafted


def test_coco_boxes_may_be_counted_from_1() -> None:
    assert card(COCO, box_origin=1).box_origin == 1


def test_nothing_is_clipped_and_images_are_shown_unless_the_card_says_otherwise() -> None:
    drafted = card(CSV)
    assert (drafted.clip_px, drafted.show_images) == (0, True)
    changed = card(CSV, clip_px=2.5, show_images=False)
    assert (changed.clip_px, changed.show_images) == (2.5, False)


def test_a_group_is_a_column_that_may_be_left_out() -> None:
    columns = [card(CSV, columns=COLUMNS | more).columns for more in ({}, {"group": "video"})]
    assert [named.group for named in columns if named] == [None, "video"]


def test_a_twentieth_of_the_rows_and_a_tenth_of_the_distances_may_drift_unless_the_card_says_otherwise() -> None:
    assert card(CSV).drift == Drift(removed=0.05, moved=0.05, labels=0.1, sizes=0.1)
    assert card(CSV, drift={"labels": 0.5}).drift == Drift(removed=0.05, moved=0.05, labels=0.5, sizes=0.1)


@pytest.mark.parametrize(
    ("values", "changed", "message"),
    [
        (CSV, {"columns": None}, "`columns` is required with the formats csv and records"),
        (VOC, {"columns": CSV["columns"]}, "`columns` is required with the formats csv and records"),
        (VOC, {"box_format": "xywh"}, "voc boxes are xyxy in pixels"),
        (VOC, {"box_units": "unit"}, "voc boxes are xyxy in pixels"),
        (CSV, {"box_origin": 1, "box_format": "cxcywh"}, "allowed with xyxy and xywh in pixels"),
        (CSV, {"box_origin": 1, "box_units": "unit"}, "allowed with xyxy and xywh in pixels"),
        (CSV, {"box_origin": 2}, r"card\.box_origin: input should be 0 or 1, got 2"),
        (
            CSV,
            {"box_format": "yxyx"},
            r"card\.box_format: input should be 'xyxy', 'xywh', 'cxcywh' or 'xyhw', got 'yxyx'",
        ),
        (CSV, {"multiple": "all"}, r"card\.multiple: .*'error', 'largest' or 'drop', got 'all'"),
        (CSV, {"max_bad_fraction": 1.5}, r"card\.max_bad_fraction: .*less than or equal to 1, got 1\.5"),
        (CSV, {"columns": {"image": "i", "box": ["a", "b", "c"]}}, r"card\.columns\.box: .*at least 4 items"),
        (CSV, {"columns": {"image": "i", "box": ["a", "b", "c", ""]}}, r"card\.columns\.box\.3: .*at least 1 char"),
        (CSV, {"columns": {"box": ["a", "b", "c", "d"]}}, r"card\.columns\.image: missing"),
        (CSV, {"columns": COLUMNS | {"group": ""}}, r"card\.columns\.group: .*at least 1 char"),
        (CSV, {"columns": COLUMNS | {"gruop": "video"}}, r"card\.columns\.gruop: unknown key"),
        (CSV, {"clip_px": -1}, r"card\.clip_px: .*greater than or equal to 0, got -1"),
        (CSV, {"clip_px": float("nan")}, r"card\.clip_px: .*finite number"),
        (CSV, {"show_images": "no"}, r"card\.show_images: .*boolean, got 'no'"),
        (CSV, {"drift": {"removed": 1.5}}, r"card\.drift\.removed: .*less than or equal to 1, got 1\.5"),
        (CSV, {"drift": {"lost": 0.5}}, r"card\.drift\.lost: unknown key"),
        (CSV, {"boxformat": "xyxy"}, r"card\.boxformat: unknown key; the keys are title, format, "),
        (CSV, {"title": ""}, r"card\.title: .*at least 1 character"),
    ],
)
def test_a_wrong_card_is_refused_and_the_key_named(
    values: dict[str, object], changed: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        card(values, **changed)


def test_a_source_can_be_a_remark_or_a_git_repository() -> None:
    assert card(VOC, source="made by hand").source == "made by hand"
    assert card(VOC, source=SOURCE).source == GitSource.model_validate(SOURCE)


@pytest.mark.parametrize(
    "changed",
    [{"commit": "main"}, {"commit": "0123456"}, {"commit": f"{SOURCE['commit']}\n"}, {"digest": "ABC"}, {"paths": []}],
    ids=["branch", "short", "newline", "digest", "no-paths"],
)
def test_a_git_source_is_pinned_by_whole_hashes(changed: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(changed))):
        card(VOC, source=SOURCE | changed)


def test_a_card_is_read_from_the_folder_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "dataset.yaml").write_text("title: t\nformat: voc\nannotations: xml\nimages: pics\n")
    assert read_config("toy", root=tmp_path).images == "pics"


def test_an_error_of_a_card_names_its_file_and_key(tmp_path: Path) -> None:
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "dataset.yaml").write_text("title: t\nformat: voc\nimages: pics\n")
    with pytest.raises(ValueError, match=r"toy/dataset\.yaml\.annotations: missing"):
        read_config("toy", root=tmp_path)


@pytest.mark.parametrize(("names", "told"), [(["b", "a"], "a, b"), ([], "none")])
def test_an_unknown_data_set_is_refused_and_the_known_ones_are_told(
    tmp_path: Path, names: list[str], told: str
) -> None:
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "dataset.yaml").touch()
    (tmp_path / "no-card").mkdir()
    with pytest.raises(ValueError, match=rf"nope/dataset\.yaml: no such data set; known: {told} \(create one"):
        read_config("nope", root=tmp_path)
