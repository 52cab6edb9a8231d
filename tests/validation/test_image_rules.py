"""The rules for image files and for columns, checked once by Great Expectations; each test is about one rule."""

import pandas as pd
import pytest
from test_expectations import CONFIG_PATH, FILE, IMAGES, box_row, config, image_row, tables

from localizer.datasets.prepare import Tables
from localizer.findings import Finding
from localizer.validation.result import ValidationResult
from localizer.validation.rules.image_rules import COLUMN_RULES, IMAGE_RULES
from localizer.validation.validate import validate

ZEROS = "0" * 64
COLUMNS = pd.DataFrame(
    [(FILE, "1", "photo", "image"), (FILE, "1", "note", ""), (FILE, "1", "kind", "label")],
    columns=["file", "line", "column", "used_as"],
)
NAMES = ["sound.jpg", "web.jpg", "photo.mpo", "tiny.jpg", "Case.jpg", "case.jpg", "one.jpg", "two.jpg", "near.jpg"]
NAMES += ["turned.jpg", "grey.jpg", "alpha.png", "cut.jpg", "gone.jpg"]
OTHERS = [
    image_row("web.jpg", format="WEBP"),
    image_row("photo.mpo", format="MPO"),
    image_row("tiny.jpg", width="100", height="1"),
    image_row("one.jpg", sha256="same", phash=ZEROS),
    image_row("two.jpg", sha256="same", phash=ZEROS),
    image_row("near.jpg", phash="1" + "0" * 63),
    image_row("turned.jpg", orientation="6"),
    image_row("grey.jpg", mode="L"),
    image_row("alpha.png", mode="RGBA", format="PNG"),
    image_row("cut.jpg", decodes="False", problem="image file is truncated", width="0", height="0"),
    image_row("gone.jpg", exists="False", decodes="False", problem="no such file", mode="", format="", sha256=""),
    image_row("spare.jpg", annotated="False"),
    image_row("spare.png", annotated="False", format="GIF", mode="P"),
]
# The box of 100 x 1 pixels is 40 wide and 1 high.
ROWS = [
    box_row(line, name, "10 0 50 1" if name == "tiny.jpg" else "10 10 60 50", size="")
    for line, name in enumerate(NAMES, start=2)
]


@pytest.fixture(scope="module")
def result() -> ValidationResult:
    return validate(Tables(*tables(ROWS, *OTHERS), COLUMNS), config(), image_size=20, config_path=CONFIG_PATH)


def found(result: ValidationResult, rule: str) -> list[Finding]:
    return [finding for finding in result.findings if finding.rule == rule]


def images(result: ValidationResult, rule: str) -> list[str | None]:
    return [finding.image for finding in found(result, rule)]


def test_a_sound_image_has_no_finding(result: ValidationResult) -> None:
    assert not [
        finding for finding in result.findings if "sound.jpg" in f"{finding.image} {finding.file}" or finding.line == 2
    ]


def test_an_image_with_a_side_of_one_pixel_is_critical(result: ValidationResult) -> None:
    (tiny,) = found(result, "image_tiny")
    assert (tiny.image, tiny.severity, tiny.got, tiny.expected) == (
        "tiny.jpg",
        "critical",
        "100 x 1 pixels (line 5)",
        "sides of 2 pixels or more",
    )
    assert tiny.fix == "replace the file, or remove it and its rows"


def test_an_image_that_does_not_decode_is_critical(result: ValidationResult) -> None:
    (cut,) = found(result, "image_undecodable")
    assert (cut.image, cut.severity) == ("cut.jpg", "critical")
    assert cut.got == "one that does not (line 14): image file is truncated"


def test_an_image_that_is_not_there_is_reported_by_its_row_only(result: ValidationResult) -> None:
    assert "gone.jpg" not in [finding.image for finding in result.findings]
    assert [finding.line for finding in found(result, "image_missing")] == [15]


def test_paths_that_are_equal_on_other_systems_are_critical(result: ValidationResult) -> None:
    assert images(result, "path_collision") == ["Case.jpg", "case.jpg"]
    assert {(finding.severity, finding.got) for finding in found(result, "path_collision")} == {
        ("critical", "paths that are one file on some systems: Case.jpg, case.jpg")
    }


def test_equal_files_are_warned_of_once_each_with_the_lowest_iou_of_their_boxes(result: ValidationResult) -> None:
    finding, other = found(result, "duplicate_content")
    assert (finding.image, other.image, finding.severity) == ("one.jpg", "two.jpg", "warning")
    assert finding.got == f"equal files: {IMAGES}/one.jpg, {IMAGES}/two.jpg; their boxes agree at an IoU of 1.00"


def test_near_copies_are_warned_of_and_name_those_that_they_look_like(result: ValidationResult) -> None:
    near = found(result, "near_duplicate")
    assert "near.jpg" in [finding.image for finding in near]
    assert {finding.severity for finding in near} == {"warning"}
    (got,) = [finding.got for finding in near if finding.image == "near.jpg"]
    assert got in {
        f"one that looks like {name} (1 of 256 hash bits differ); their boxes agree at an IoU of 1.00"
        for name in ("one.jpg", "two.jpg")
    }


@pytest.mark.parametrize(
    ("rule", "got"),
    [
        ("image_suffix", "2 images in another: web.jpg, spare.png"),
        ("exif_rotated", "1 image with an EXIF orientation: turned.jpg"),
        ("image_mode", "3 images in another mode: grey.jpg, alpha.png, spare.png"),
        ("image_not_annotated", "2 images without one: spare.jpg, spare.png"),
    ],
)
def test_what_many_images_have_is_one_warning(result: ValidationResult, rule: str, got: str) -> None:
    (finding,) = found(result, rule)
    assert (finding.severity, finding.got) == ("warning", got)


def test_a_column_that_nothing_uses_is_a_warning(result: ValidationResult) -> None:
    (finding,) = found(result, "column_unknown")
    assert (finding.file, finding.line, finding.column, finding.severity) == (FILE, 1, "note", "warning")
    assert finding.got == "the column 'note'"
    assert finding.fix == "nothing, if it is not needed; else name it under `columns` in data/mine/dataset.yaml"


def test_no_other_rule_fails(result: ValidationResult) -> None:
    rules = {rule.name for rule in [*IMAGE_RULES, *COLUMN_RULES]}
    assert {finding.rule for finding in result.findings} == rules | {"image_missing"}


def test_each_rule_has_a_description_on_one_line() -> None:
    for rule in [*IMAGE_RULES, *COLUMN_RULES]:
        assert rule.describe() == f"{rule.name} ({rule.severity}): {rule.description}"
        assert "\n" not in rule.describe()
