"""The tables of rules, without Great Expectations; `test_expectations` checks data with them."""

import re
import string

import pytest

from localizer.boxes import FORMATS, BoxFormat
from localizer.dataset import CsvColumns, DatasetConfig
from localizer.datasets.coordinates import NUMBER
from localizer.validation.rules.box_rules import box_rules
from localizer.validation.rules.image_rules import COLUMN_RULES, IMAGE_RULES
from localizer.validation.rules.rule import abbreviate, column_names

OWN_NAMES = CsvColumns(image="photo", box=["a", "b", "c", "d"], label="kind", width="w", height="h")


def config(box_format: BoxFormat = "xyxy", *, columns: CsvColumns | None = OWN_NAMES) -> DatasetConfig:
    form = "csv" if columns else "voc"
    return DatasetConfig.model_validate(
        {
            "title": "mine",
            "format": form,
            "annotations": "annotations",
            "images": "images",
            "columns": columns,
            "box_format": box_format,
        }
    )


@pytest.mark.parametrize("text", ["12", "12.5", "-3", "+3", "1e2", "1E-2", ".5", "5.", "007"])
def test_a_plain_decimal_number_is_accepted(text: str) -> None:
    assert re.search(NUMBER, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nan",
        "inf",
        "-inf",
        "1e400",
        "1,5",
        "1_000",
        "0x10",
        "True",
        "\uff11\uff12",
        " 12",
        "12 ",
        "12\n",
        "1 2",
        "10^23",
    ],
)
def test_anything_else_is_no_number(text: str) -> None:
    assert not re.search(NUMBER, text)


def test_the_users_own_column_names_are_used() -> None:
    assert list(column_names(config()).values()) == ["photo", "kind", "w", "h", "a", "b", "c", "d"]


def test_a_column_of_splits_has_the_users_name() -> None:
    columns = OWN_NAMES.model_copy(update={"split": "set"})
    assert column_names(config(columns=columns))["given_split"] == "set"
    (rule,) = [rule for rule in box_rules(config(columns=columns), image_size=10) if rule.name == "split_disagrees"]
    assert rule.column == "set"


def test_pascal_voc_has_its_tags_for_column_names() -> None:
    names = column_names(config(columns=None))
    assert [names[f"box_{number}"] for number in (1, 2, 3, 4)] == ["xmin", "ymin", "xmax", "ymax"]


@pytest.mark.parametrize("box_format", FORMATS)
def test_every_box_format_has_all_the_rules(box_format: BoxFormat) -> None:
    assert {rule.name for rule in box_rules(config(box_format), image_size=10)} == {
        "image_missing",
        "value_missing",
        "value_not_a_number",
        "value_negative",
        "corner_order",
        "outside_image",
        "size_disagrees",
        "label_missing",
        "label_formula",
        "duplicate_row",
        "split_disagrees",
        "several_boxes",
        "unit_coordinates",
        "small_box",
        "outlier_size",
        "outlier_aspect",
        "outlier_position",
        "whole_image_box",
    }


def test_height_before_width_moves_the_bottom_edge_by_the_third_column() -> None:
    def column_of_bottom(box_format: BoxFormat) -> list[str]:
        rules = box_rules(config(box_format), image_size=10)
        return [rule.column for rule in rules if rule.got.startswith("the bottom edge")]

    assert (column_of_bottom("xyhw"), column_of_bottom("xywh")) == (["c"], ["d"])


def test_a_label_is_expected_only_where_the_config_names_one_or_its_column() -> None:
    without = CsvColumns(image="photo", box=["a", "b", "c", "d"])
    names = {rule.name for rule in box_rules(config(columns=without), image_size=10)}
    assert "label_missing" not in names
    assert "label_missing" in {rule.name for rule in box_rules(config(), image_size=10)}


def test_a_description_has_no_template_fields() -> None:
    for rule in [*box_rules(config(), image_size=10), *IMAGE_RULES, *COLUMN_RULES]:
        assert [field for _, field, _, _ in string.Formatter().parse(rule.describe()) if field] == []


def test_a_description_begins_with_the_rules_name_and_severity() -> None:
    first = box_rules(config(), image_size=10)[0]
    assert first.describe() == "image_missing (critical): photo must be an image file below the images folder"


def test_a_few_names_are_listed_and_the_rest_is_counted() -> None:
    assert abbreviate(["a", "b"]) == "a, b"
    assert abbreviate(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
