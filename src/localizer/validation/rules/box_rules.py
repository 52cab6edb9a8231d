"""The rules for boxes: the values as given, the box within its image, the row among the others."""

from collections.abc import Iterator
from dataclasses import replace

from localizer.boxes import FORMATS
from localizer.dataset import DatasetConfig
from localizer.datasets.coordinates import NUMBER
from localizer.tables import BOX
from localizer.validation.outliers import LIMIT
from localizer.validation.rules.rule import (
    DATASET_YAML,
    SIZES,
    Rule,
    between,
    column_names,
    exceeds,
    expect,
    in_set,
    not_null,
)

WHOLE_IMAGE = 0.999  # of the image's area
CORRECT_BOX = "correct the box, or remove it"
OUTLIERS = {  # by score: the box in words
    "size": "an area of {box_share:.2%} of the image",
    "aspect": "an aspect ratio (width / height) of {aspect:.2f}",
    "position": "a center at {center_x:.0%} across and {center_y:.0%} down",
}

# fmt: off
BOX_RULES = (
    Rule("image_missing", "critical", "row", in_set(column="exists", value_set=["True"]), column="image",
         expected="an image file below the images folder", got="{image!r}: {problem}",
         fix="add the file, or correct the path, which is relative to the images folder"),
    *(Rule("value_missing", "critical", "row", not_null(column=value), column=value,
           expected="a number", got="nothing", fix="fill in the value, or remove the row")
      for value in BOX),
    *(Rule("value_not_a_number", "critical", "row",
           expect("ExpectColumnValuesToMatchRegex", column=text, regex=NUMBER), column=column,
           expected="a plain decimal number such as 12 or 12.5", got=f"{{{text}!r}}",
           fix="write it with the digits 0 to 9 and a decimal point")
      for column, text in (dict(zip(BOX, BOX, strict=True)) | SIZES).items()),
    *(Rule("outside_image", "critical", "row", between(column=edge, min_value=0), column=column,
           description=f"the {side} edge of a box must lie within its image",
           expected="at least 0", got=f"the {side} edge at {{{edge}:.10g}} px", fix="{edge_fix}")
      for side, edge, column in (("left", "xmin_px", "box_1"), ("top", "ymin_px", "box_2"))),
    *(Rule("outside_image", "critical", "row", exceeds(f"image_{size}", edge, or_equal=True), column=f"box_{size}",
           description=f"the {side} edge of a box must lie within its image",
           expected=f"at most {{image_{size}:.10g}}, the image's {size}", got=f"the {side} edge at {{{edge}:.10g}} px",
           fix="{edge_fix}")
      for side, edge, size in (("right", "xmax_px", "width"), ("bottom", "ymax_px", "height"))),
    Rule("clipped", "warning", "row", between(column="clipped_px", max_value=0),
         applies=lambda config: config.clip_px > 0,
         description="a box should lie within its image without being clipped",
         expected="a box within its image", got="a box that protrudes by {clipped_px:.10g} px",
         fix=f"nothing: it was clipped, as `clip_px` of {DATASET_YAML} allows"),
    *(Rule("size_disagrees", "critical", "row",
           expect("ExpectColumnPairValuesToBeEqual", column_A=f"annotated_{side}", column_B=f"image_{side}",
                  ignore_row_if="either_value_is_missing"), column=side,
           description=f"the annotated {side} must be the image's",
           expected=f"{{image_{side}:.10g}}, the {side} of the image as displayed", got=f"{{annotated_{side}_text}}",
           fix="{size_fix}")
      for side in SIZES),
    Rule("label_missing", "critical", "row", not_null(column="label"), column="label",
         applies=lambda config: config.label is not None or config.columns is None or config.columns.label is not None,
         expected="a label", got="nothing", fix="fill in the label, or remove the row"),
    Rule("label_formula", "critical", "row",
         expect("ExpectColumnValuesToNotMatchRegex", column="label", regex="^[=+@\t-]"), column="label",
         description="a label must not begin with = + - @ or a tab: a spreadsheet would evaluate it",
         expected="a label that no spreadsheet evaluates as a formula", got="{label!r}", fix="rename the label"),
    Rule("duplicate_row", "critical", "row",
         expect("ExpectCompoundColumnsToBeUnique", column_list=["image", "label", *BOX]), column="image",
         description="no two rows may have the same image, label and box", only_where="is_repeat",
         expected="each row once", got="the row of {first_place} again", fix="remove one of them"),
    Rule("split_disagrees", "critical", "row",
         expect("ExpectColumnValuesToBeNull", column="given_splits"), column="given_split",
         description="all rows of an image must give it the same split",
         expected="one split for {image!r}", got="{given_splits}", fix="give all rows of the image the same split"),
    Rule("unit_coordinates", "critical", "file",
         expect("ExpectColumnMedianToBeBetween", column="largest_value", min_value=1, strict_min=True),
         applies=lambda config: config.box_units == "pixel",
         description="most boxes in pixels must have a value above 1",
         expected="pixels", got="no value above 1 in most boxes",
         fix=f"are the boxes fractions of the image? set box_units: unit in {DATASET_YAML}"),
    Rule("whole_image_box", "warning", "file", between(column="share_within", max_value=WHOLE_IMAGE, strict_max=True),
         description="a box should not cover its whole image",
         expected="boxes around an object", got="{boxes} covering the whole image: {first}",
         fix="nothing, if the object fills the image; else draw the box"),
    *(Rule(f"outlier_{score}", "warning", "row", between(column=f"{score}_score", max_value=LIMIT),
           description=f"a box's {score} should be like that of others with its label",
           expected=f"at most {LIMIT} times the usual deviation from the label's median",
           got=f"{{{score}_score:.1f}} times, with {box}",
           fix="check the box: is it another image's, or another object's?")
      for score, box in OUTLIERS.items()),
)


def value_rules(config: DatasetConfig) -> Iterator[Rule]:
    """Yield the rules that depend on what the four values of a box are."""
    numbers, corners = FORMATS[config.box_format], config.box_format == "xyxy"
    for number, text in zip(numbers[: 4 if corners else 2], BOX, strict=False):
        yield Rule("value_negative", "critical", "row", between(column=number, min_value=0), column=text,
                   applies=lambda config: not config.clip_px,
                   expected="0 or more", got=f"{{{text}}}", fix=CORRECT_BOX)
    for low, high in ((0, 2), (1, 3)):
        limit, expectation = "0", between(column=numbers[high], min_value=0, strict_min=True)
        if corners:
            limit, expectation = f"{numbers[low]} {{{BOX[low]}}}", exceeds(numbers[high], numbers[low])
        yield Rule("corner_order", "critical", "row", expectation, column=BOX[high],
                   applies=lambda config: config.corners == "ordered",
                   description=f"{numbers[high]} must exceed {numbers[low] if corners else 0}",
                   expected=f"more than {limit}", got=f"{numbers[high]} {{{BOX[high]}}}", fix=_order_fix(config))


def _order_fix(config: DatasetConfig) -> str:
    if config.columns is None:
        return CORRECT_BOX
    if config.box_format == "xyxy":
        return f"{CORRECT_BOX}; or are the columns xywh? set box_format: xywh in {DATASET_YAML}"
    return f"{CORRECT_BOX}; or are the columns xyxy? set box_format: xyxy in {DATASET_YAML}"


def several_boxes(config: DatasetConfig) -> Rule:
    """Return the rule that an image has one box of the task, as severe as the config makes it."""
    fixes = {
        "error": f"remove all but one, or set multiple: largest (or drop) in {DATASET_YAML}",
        "largest": "nothing, if the largest is the object; this box is set aside",
        "drop": "nothing, if such images are not expected; this box is set aside",
    }
    return Rule("several_boxes", "critical" if config.multiple == "error" else "warning", "row",
                between(column="boxes_in_image", max_value=1), column="image",
                description="an image must have one box of the task", only_where="is_surplus",
                expected="one box", got="{boxes_in_image:.0f} boxes in {image!r}: {places}", fix=fixes[config.multiple])


def small_box(image_size: int) -> Rule:
    """Return the rule that a box's sides are a pixel or more when the image is resized."""
    return Rule("small_box", "critical", "row", between(column="smallest_share", min_value=1 / image_size),
                description=f"a box's sides must be 1 pixel or more when the image is resized to {image_size}",
                expected=f"sides of {1 / image_size:.2%} of the image's or more: 1 pixel when resized to {image_size}",
                got="a side of {smallest_share:.2%}",
                fix=f"{CORRECT_BOX}; or train on larger images: validate.image_size, train.image_size")
# fmt: on


def box_rules(config: DatasetConfig, *, image_size: int) -> list[Rule]:
    """Return a data set's rules for its boxes, with its own column names.

    image_size: the side, in pixels, to which images are resized.
    """
    rules = [*BOX_RULES, *value_rules(config), several_boxes(config), small_box(image_size)]
    names = column_names(config)
    # In xyhw the third value is the height, which moves the bottom edge and not the right one.
    width, height = ("box_4", "box_3") if config.box_format == "xyhw" else ("box_3", "box_4")
    names |= {"box_width": names[width], "box_height": names[height]}
    return [replace(rule, column=names.get(rule.column, "")) for rule in rules if rule.applies(config)]
