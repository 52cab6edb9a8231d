"""A data set's card: what it accepts and which contradictions it refuses."""

from pathlib import Path

import pytest

from localizer.config import parse
from localizer.data.card import Card, GitSource, read_card

CSV = {
    "title": "toy",
    "format": "csv",
    "annotations": "boxes.csv",
    "images": "images",
    "columns": {"image": "image", "box": ["a", "b", "c", "d"]},
}
VOC = {"title": "toy", "format": "voc", "annotations": "xml", "images": "images"}
SOURCE = {
    "repository": "https://example.org/owner/repo",
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "paths": ["images"],
    "digest": "0123456789abcdef" * 4,
}


def card(values: dict[str, object], **changed: object) -> Card:
    return parse(Card, values | changed, where="card")


def test_a_card_fails_on_a_bad_row_and_on_several_boxes_unless_it_says_otherwise() -> None:
    drafted = card(CSV)
    assert (drafted.on_bad_row, drafted.multiple, drafted.max_bad_fraction) == ("fail", "error", 0.01)


def test_a_card_reads_xyxy_pixels_from_0_unless_it_says_otherwise() -> None:
    drafted = card(VOC)
    assert (drafted.box_format, drafted.box_units, drafted.box_origin) == ("xyxy", "pixel", 0)


@pytest.mark.parametrize(
    ("values", "changed", "message"),
    [
        (CSV, {"columns": None}, "`columns` belongs to format csv, and format csv needs it"),
        (VOC, {"columns": CSV["columns"]}, "`columns` belongs to format csv, and format csv needs it"),
        (VOC, {"box_format": "xywh"}, "Pascal VOC boxes are xyxy in pixels"),
        (VOC, {"box_units": "unit"}, "Pascal VOC boxes are xyxy in pixels"),
        (CSV, {"box_origin": 1, "box_format": "cxcywh"}, "does not go with cxcywh or unit"),
        (CSV, {"box_origin": 1, "box_units": "unit"}, "does not go with cxcywh or unit"),
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
    assert read_card("toy", root=tmp_path).images == "pics"


def test_an_error_of_a_card_names_its_file_and_key(tmp_path: Path) -> None:
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "dataset.yaml").write_text("title: t\nformat: voc\nimages: pics\n")
    with pytest.raises(ValueError, match=r"toy/dataset\.yaml\.annotations: missing"):
        read_card("toy", root=tmp_path)


@pytest.mark.parametrize(("names", "told"), [(["b", "a"], "a, b"), ([], "none")])
def test_an_unknown_data_set_is_refused_and_the_known_ones_are_told(
    tmp_path: Path, names: list[str], told: str
) -> None:
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "dataset.yaml").touch()
    (tmp_path / "no-card").mkdir()
    with pytest.raises(ValueError, match=rf"nope/dataset\.yaml: no such data set; there are: {told} \(make one"):
        read_card("nope", root=tmp_path)
