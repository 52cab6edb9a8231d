"""Thumbnails of findings: which rows they show, and the box's color where the box is."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from localizer.dataset import DatasetConfig
from localizer.findings import Finding, Severity
from localizer.tables import EDGES, read_table
from localizer.validation.result import ValidationResult
from localizer.validation.thumbnails import MAX_THUMBNAILS, SIDE_PX, write_thumbnails

GREEN, GREY, MAGENTA = (0, 128, 0), (187, 187, 187), (230, 0, 126)
Box = tuple[float, float, float, float]


def config(**changed: object) -> DatasetConfig:
    values = {"title": "mine", "format": "voc", "annotations": "boxes", "images": "images"}
    return DatasetConfig.model_validate(values | changed)


def finding(row: int | None, *, rule: str = "small_box", severity: Severity = "critical") -> Finding:
    return Finding("boxes.csv", (row or 0) + 2, "", rule, severity, "x", "y", "z", row=row)


def result(tmp_path: Path, boxes: list[Box], *findings: Finding, exists: str = "True") -> ValidationResult:
    """Return a result on boxes, each on a green image of 100 x 80 pixels of its own."""
    paths = [tmp_path / f"{number}.png" for number in range(len(boxes))]
    for path in paths:
        Image.new("RGB", (100, 80), GREEN).save(path)
    table = pd.DataFrame(boxes, columns=EDGES, dtype=float).assign(path=list(map(str, paths)), exists=exists)
    found = findings or tuple(finding(row) for row in range(len(boxes)))
    return ValidationResult(found, clean=table, quarantine=table, boxes=table, images=len(boxes), passed=False)


def thumbnail(tmp_path: Path, box: Box) -> Image.Image:
    ((name, _),) = write_thumbnails(result(tmp_path, [box]), config(), tmp_path / "thumbnails")
    with Image.open(tmp_path / name) as image:
        return image.convert("RGB")


def near(image: Image.Image, place: tuple[int, int], color: tuple[int, int, int]) -> bool:
    """Return whether a pixel has the color, as far as a JPEG keeps it."""
    return bool(np.abs(np.array(image.getpixel(place)) - color).max() < 60)


def test_the_box_is_drawn_where_it_is(tmp_path: Path) -> None:
    image = thumbnail(tmp_path, (10, 20, 60, 50))  # 2.4 times as large: 24, 48, 144, 120
    assert image.size == (240, 192)
    assert all(near(image, place, MAGENTA) for place in ((24, 84), (143, 84), (84, 48), (84, 119)))
    assert all(near(image, place, GREEN) for place in ((84, 84), (12, 84), (160, 84), (84, 36), (84, 135)))


def test_a_box_partly_outside_is_drawn_on_gray_next_to_the_image(tmp_path: Path) -> None:
    image = thumbnail(tmp_path, (80, 20, 120, 60))  # the canvas is 120 x 80 pixels, doubled
    assert image.size == (240, 160)
    assert all(near(image, place, MAGENTA) for place in ((160, 80), (238, 80), (220, 40), (180, 118)))
    assert all(near(image, place, GREY) for place in ((220, 80), (220, 15), (220, 140)))
    assert all(near(image, place, GREEN) for place in ((180, 80), (100, 80)))


def test_a_box_that_begins_outside_moves_the_image(tmp_path: Path) -> None:
    image = thumbnail(tmp_path, (-20, -40, 50, 40))  # from -20 to 100 and from -40 to 80, doubled
    assert image.size == (240, 240)
    assert all(near(image, place, MAGENTA) for place in ((0, 80), (138, 80), (70, 0), (70, 158)))
    assert all(near(image, place, GREY) for place in ((20, 120), (200, 40)))
    assert all(near(image, place, GREEN) for place in ((100, 120), (200, 200)))


def test_a_box_far_outside_is_cut_at_half_the_images_side_away(tmp_path: Path) -> None:
    image = thumbnail(tmp_path, (80, 20, 100_000, 60))  # the canvas ends at 150: 1.6 times as large
    assert image.size == (240, 128)
    assert all(near(image, place, MAGENTA) for place in ((128, 64), (238, 64)))
    assert near(image, (100, 64), GREEN)
    assert near(image, (200, 64), GREY)


def test_a_box_out_of_order_is_drawn_in_order(tmp_path: Path) -> None:
    image = thumbnail(tmp_path, (60, 50, 10, 20))
    assert image.size == (240, 192)
    assert all(near(image, place, MAGENTA) for place in ((24, 84), (143, 84), (84, 48), (84, 119)))
    assert near(image, (84, 84), GREEN)


def test_an_empty_box_is_drawn_as_a_line(tmp_path: Path) -> None:
    image = thumbnail(tmp_path, (50, 20, 50, 60))
    assert near(image, (120, 96), MAGENTA)
    assert near(image, (110, 96), GREEN)


def test_the_longer_side_of_every_thumbnail_is_the_same(tmp_path: Path) -> None:
    assert max(thumbnail(tmp_path, (0, 0, 100, 80)).size) == SIDE_PX


def shown(found: ValidationResult, tmp_path: Path, **changed: object) -> list[tuple[int | None, str]]:
    return [(one.row, one.rule) for _, one in write_thumbnails(found, config(**changed), tmp_path / "thumbnails")]


BOX: Box = (10, 20, 60, 50)


def test_critical_findings_come_first_and_rules_take_turns(tmp_path: Path) -> None:
    found = result(
        tmp_path,
        [BOX] * 4,
        finding(0, rule="odd", severity="warning"),
        finding(1, rule="often"),
        finding(2, rule="often"),
        finding(3, rule="rare"),
    )
    assert shown(found, tmp_path) == [(1, "often"), (3, "rare"), (2, "often"), (0, "odd")]


def test_a_row_is_shown_once_and_what_is_no_row_never(tmp_path: Path) -> None:
    found = result(tmp_path, [BOX], finding(None, rule="whole"), finding(0, rule="one"), finding(0, rule="two"))
    assert shown(found, tmp_path) == [(0, "one")]


def test_no_more_than_a_dozen_are_written_and_their_names_follow_on(tmp_path: Path) -> None:
    thumbnails = write_thumbnails(result(tmp_path, [BOX] * (MAX_THUMBNAILS + 2)), config(), tmp_path / "thumbnails")
    names = [f"thumbnails/{number:02d}.jpg" for number in range(1, MAX_THUMBNAILS + 1)]
    assert [name for name, _ in thumbnails] == names
    assert sorted(path.name for path in (tmp_path / "thumbnails").glob("*.jpg")) == [name[11:] for name in names]
    index = read_table(tmp_path / "thumbnails" / "index.csv")
    assert list(index["picture"]) == [name[11:] for name in names]
    assert list(index["rule"]) == [one.rule for _, one in thumbnails]


def test_an_image_that_can_not_be_opened_is_passed_over(tmp_path: Path) -> None:
    found = result(tmp_path, [BOX, BOX])
    (tmp_path / "0.png").write_bytes(b"no image")
    assert shown(found, tmp_path) == [(1, "small_box")]


@pytest.mark.parametrize("exists", ["False", None])
def test_an_image_that_is_not_there_is_not_shown(tmp_path: Path, exists: str) -> None:
    assert shown(result(tmp_path, [BOX], exists=exists), tmp_path) == []


def test_a_box_of_unknown_numbers_is_not_shown(tmp_path: Path) -> None:
    assert shown(result(tmp_path, [(10, float("nan"), 60, 50), BOX]), tmp_path) == [(1, "small_box")]


def test_where_the_config_shows_no_images_there_are_none_and_older_ones_are_gone(tmp_path: Path) -> None:
    found = result(tmp_path, [BOX])
    assert len(shown(found, tmp_path)) == 1
    assert shown(found, tmp_path, show_images=False) == []
    assert [path.name for path in (tmp_path / "thumbnails").iterdir()] == ["index.csv"]
