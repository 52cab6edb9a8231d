"""The rules for boxes: the values as given, the box within its image, the row among the others."""

from collections.abc import Iterator

from localizer.dataset import DatasetConfig
from localizer.tables import BOX
from localizer.validation.rules.outliers import LIMIT, SCORES
from localizer.validation.rules.rule import CARD, Ask, Names, Rule, at_least, column_names, exceeds, not_null
from localizer.validation.rules.value_rules import value_rules

WHOLE = 0.999  # of the image's area


def box_rules(card: DatasetConfig, *, image_size: int) -> list[Rule]:
    """Return the rules for the table of boxes; `image_size` is the side, in pixels, that images are resized to."""
    names = column_names(card)
    rules = [*value_rules(card, names), *_edge_rules(card, names), *_size_rules(names), *_label_rules(card, names)]
    rules += [_duplicate_row(names), _several_boxes(card, names), _small_box(image_size), *_outlier_rules()]
    return [*rules, *_clipped(card), *_unit_coordinates(card), _whole_image()]


def _edge_rules(card: DatasetConfig, names: Names) -> Iterator[Rule]:
    # In xyhw the third value is the height, which moves the bottom edge and not the right one.
    right, bottom = (3, 2) if card.box_format == "xyhw" else (2, 3)
    near = (("left", "xmin_px", 0), ("top", "ymin_px", 1))
    far = (("right", "xmax_px", right, "width"), ("bottom", "ymax_px", bottom, "height"))
    for side, edge, at in near:
        yield _edge_rule(at_least(edge, 0), (side, edge), expected="at least 0", column=names.box[at])
    for side, edge, at, limit in far:
        ask = exceeds(f"image_{limit}", edge, or_equal=True)
        expected = f"at most {{image_{limit}:.10g}}, the image's {limit}"
        yield _edge_rule(ask, (side, edge), expected=expected, column=names.box[at])


def _edge_rule(ask: Ask, side_and_edge: tuple[str, str], *, expected: str, column: str) -> Rule:
    side, edge = side_and_edge
    return Rule(
        name="outside_image",
        ask=ask,
        says=f"the {side} edge of a box must lie within its image",
        got=f"the {side} edge at {{{edge}:.10g}} px",
        expected=expected,
        fix="{edge_fix}",
        column=column,
    )


def _clipped(card: DatasetConfig) -> Iterator[Rule]:
    if card.clip_px:
        yield Rule(
            name="clipped",
            ask=Ask("ExpectColumnValuesToBeBetween", {"column": "clipped_px", "max_value": 0}),
            says="a box should lie within its image without being clipped",
            got="a box that sticks out by {clipped_px:.10g} px",
            expected="a box within its image",
            fix=f"nothing: it was clipped, as clip_px of {CARD} allows",
            severity="warning",
        )


def _size_rules(names: Names) -> Iterator[Rule]:
    for side, column in zip(("width", "height"), names.size, strict=True):
        pair = {"column_A": f"annotated_{side}", "column_B": f"image_{side}"}
        yield Rule(
            name="size_disagrees",
            ask=Ask("ExpectColumnPairValuesToBeEqual", pair | {"ignore_row_if": "either_value_is_missing"}),
            says=f"the annotated {side} must be the image's",
            got=f"{side} {{annotated_{side}_text}}",
            expected=f"{{image_{side}:.10g}}; the image as displayed has {{image_width:.10g}} x {{image_height:.10g}}",
            fix="{size_fix}",
            column=column,
        )


def _label_rules(card: DatasetConfig, names: Names) -> Iterator[Rule]:
    if card.label is not None or card.columns is None or card.columns.label is not None:
        yield Rule(
            name="label_missing",
            ask=not_null("label"),
            got="nothing",
            expected="a label",
            fix="fill in the label, or remove the row",
            column=names.label,
        )
    yield Rule(
        name="label_formula",
        ask=Ask("ExpectColumnValuesToNotMatchRegex", {"column": "label", "regex": "^[=+@\t-]"}),
        says="a label must not begin with = + - @ or a tab: a spreadsheet would run it",
        got="{label!r}",
        expected="a label that no spreadsheet takes for a formula",
        fix="rename the label",
        column=names.label,
    )


def _duplicate_row(names: Names) -> Rule:
    return Rule(
        name="duplicate_row",
        ask=Ask("ExpectCompoundColumnsToBeUnique", {"column_list": ["image", "label", *BOX]}),
        says="no two rows may have the same image, label and box",
        got="the row of {first_place} again",
        expected="each row once",
        fix="remove one of them",
        column=names.image,
        told="is_repeat",
    )


def _several_boxes(card: DatasetConfig, names: Names) -> Rule:
    outcome = {
        "error": f"remove all but one, or set multiple: largest (or drop) in {CARD}",
        "largest": "nothing, if the largest is the object; this box is set aside",
        "drop": "nothing, if such images are not expected; this box is set aside",
    }
    return Rule(
        name="several_boxes",
        ask=Ask("ExpectColumnValuesToBeBetween", {"column": "boxes_in_image", "max_value": 1}),
        says="an image must have one box of the task",
        got="{boxes_in_image:.0f} boxes in {image!r}: {places}",
        expected="one box",
        fix=outcome[card.multiple],
        column=names.image,
        severity="critical" if card.multiple == "error" else "warning",
        told="is_surplus",
    )


def _unit_coordinates(card: DatasetConfig) -> Iterator[Rule]:
    if card.box_units == "pixel":
        yield Rule(
            name="unit_coordinates",
            ask=Ask("ExpectColumnMedianToBeBetween", {"column": "largest_value", "min_value": 1, "strict_min": True}),
            says="most boxes in pixels must have a value above 1",
            got="no value above 1 in most boxes",
            expected="pixels",
            fix=f"are the boxes shares of the image? set box_units: unit in {CARD}",
            scope="file",
        )


def _whole_image() -> Rule:
    return Rule(
        name="whole_image_box",
        ask=Ask("ExpectColumnValuesToBeBetween", {"column": "share_within", "max_value": WHOLE, "strict_max": True}),
        says="a box should not cover its whole image",
        got="{count} boxes that cover their whole image: {first}",
        expected="boxes around an object",
        fix="nothing, if the object fills the picture; else draw the box",
        severity="warning",
        scope="file",
    )


def _small_box(image_size: int) -> Rule:
    return Rule(
        name="small_box",
        ask=at_least("smallest_share", 1 / image_size),
        says=f"a box's sides must be 1 pixel or more when the image is resized to {image_size}",
        got=f"a side of {{smallest_share:.4f}} of the image's, under a pixel at {image_size} px",
        expected=f"{1 / image_size:.4f} or more",
        fix="correct the box, or remove it; or train on larger images: validate.image_size, train.image_size",
    )


def _outlier_rules() -> Iterator[Rule]:
    for name, score in SCORES.items():
        yield Rule(
            name=f"outlier_{name}",
            ask=Ask("ExpectColumnValuesToBeBetween", {"column": score.column, "max_value": LIMIT}),
            says=f"a box's {name} should be like that of others with its label",
            got=f"{score.got}, {{{score.column}:.1f}} times the usual deviation from the median of its label",
            expected=f"at most {LIMIT} times",
            fix="look at the box: is it another image's, or another object's?",
            severity="warning",
        )
