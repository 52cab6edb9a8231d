"""The rules for boxes: the values as given, the box within its image, the row among the others."""

from collections.abc import Iterator

from localizer.boxes import FORMATS
from localizer.data.canonical import NUMBER
from localizer.data.card import Card
from localizer.data.rules import (
    CARD,
    SIZES,
    Ask,
    Names,
    Rule,
    at_least,
    column_names,
    exceeds,
    is_true,
    not_null,
)
from localizer.data.tables import BOX


def box_rules(card: Card, *, smallest_side: float) -> list[Rule]:
    """Return the rules for the table of boxes; `smallest_side` is a share of the image's side."""
    names = column_names(card)
    rules = [
        _image_missing(names),
        *_value_rules(names),
        *_order_rules(card, names),
        *_edge_rules(card, names),
    ]
    rules += [
        *_size_rules(names),
        *_label_rules(card, names),
        _duplicate_row(names),
        _several_boxes(card, names),
    ]
    return [*rules, *([_unit_coordinates()] if card.box_units == "pixel" else []), _small_box(smallest_side)]


def _image_missing(names: Names) -> Rule:
    return Rule(
        name="image_missing",
        ask=is_true("exists"),
        got="{image!r}: {problem}",
        wanted="an image file below the images folder",
        fix=f"add the file, or correct the path: it begins at `images` of {CARD}",
        column=names.image,
    )


def _value_rules(names: Names) -> Iterator[Rule]:
    for text, column in zip(BOX, names.box, strict=True):
        yield Rule(
            name="value_missing",
            ask=not_null(text),
            got="nothing",
            wanted="a number",
            fix="fill in the value, or remove the row",
            column=column,
        )
    for text, column in zip((*BOX, *SIZES.values()), names.box + names.size, strict=True):
        yield Rule(
            name="value_not_a_number",
            ask=Ask("ExpectColumnValuesToMatchRegex", {"column": text, "regex": NUMBER}),
            got=f"{{{text}!r}}",
            wanted="a plain decimal number such as 12 or 12.5",
            fix="write it with the digits 0 to 9 and a decimal point",
            column=column,
        )


def _order_rules(card: Card, names: Names) -> Iterator[Rule]:
    numbers = FORMATS[card.box_format]
    are_corners = card.box_format == "xyxy"
    for i in range(4 if are_corners else 2):
        yield _not_negative(numbers[i], BOX[i], column=names.box[i])
    for i in (0, 1):
        if are_corners:
            yield _corner_order(card, names, axis=i)
        else:
            yield _positive_side(numbers[i + 2], BOX[i + 2], column=names.box[i + 2])


def _not_negative(number: str, text: str, *, column: str) -> Rule:
    return Rule(
        name="value_negative",
        ask=at_least(number, 0),
        got=f"{{{text}}}",
        wanted="0 or more",
        fix="correct the box, or remove it",
        column=column,
    )


def _corner_order(card: Card, names: Names, *, axis: int) -> Rule:
    low, high = FORMATS["xyxy"][axis], FORMATS["xyxy"][axis + 2]
    fix = "correct the box, or remove it"
    if card.format == "csv":
        fix = f"are the columns xywh? set box_format in {CARD}"
    return Rule(
        name="corner_order",
        ask=exceeds(high, low),
        says=f"{high} must exceed {low}",
        got=f"{high} {{{BOX[axis + 2]}}}",
        wanted=f"more than {low} {{{BOX[axis]}}}",
        fix=fix,
        column=names.box[axis + 2],
    )


def _positive_side(number: str, text: str, *, column: str) -> Rule:
    return Rule(
        name="corner_order",
        ask=at_least(number, 0, strict=True),
        got=f"{number} {{{text}}}",
        wanted="more than 0",
        fix=f"correct the box; or are the columns xyxy? set box_format in {CARD}",
        column=column,
    )


def _edge_rules(card: Card, names: Names) -> Iterator[Rule]:
    # In xyhw the third value is the height, which moves the bottom edge and not the right one.
    right, bottom = (3, 2) if card.box_format == "xyhw" else (2, 3)
    near = (("left", "xmin_px", 0), ("top", "ymin_px", 1))
    far = (("right", "xmax_px", right, "width"), ("bottom", "ymax_px", bottom, "height"))
    for side, edge, at in near:
        yield _edge_rule(card, at_least(edge, 0), (side, edge), wanted="at least 0", column=names.box[at])
    for side, edge, at, limit in far:
        ask = exceeds(f"image_{limit}", edge, or_equal=True)
        wanted = f"at most {{image_{limit}:.10g}}, the image's {limit}"
        yield _edge_rule(card, ask, (side, edge), wanted=wanted, column=names.box[at])


def _edge_rule(card: Card, ask: Ask, side_and_edge: tuple[str, str], *, wanted: str, column: str) -> Rule:
    side, edge = side_and_edge
    return Rule(
        name="outside_image",
        ask=ask,
        says=f"the {side} edge of a box must lie within its image",
        got=f"the {side} edge at {{{edge}:.10g}} px",
        wanted=wanted,
        fix=f"correct the box; or is it {_doubt(card)}? see {CARD}",
        column=column,
    )


def _doubt(card: Card) -> str:
    if card.box_units == "unit":
        return "in pixels (box_units)"
    return "counted from 0 (box_origin)" if card.box_origin == 1 else "of another kind (box_format)"


def _size_rules(names: Names) -> Iterator[Rule]:
    for side, column in zip(("width", "height"), names.size, strict=True):
        pair = {"column_A": f"annotated_{side}", "column_B": f"image_{side}"}
        yield Rule(
            name="size_disagrees",
            ask=Ask("ExpectColumnPairValuesToBeEqual", pair | {"ignore_row_if": "either_value_is_missing"}),
            says=f"the annotated {side} must be the image's",
            got="{annotated_width_text} x {annotated_height_text}",
            wanted="{image_width:.10g} x {image_height:.10g}, the image's size as displayed",
            fix="{size_fix}",
            column=column,
        )


def _label_rules(card: Card, names: Names) -> Iterator[Rule]:
    if card.label is not None or card.columns is None or card.columns.label is not None:
        yield Rule(
            name="label_missing",
            ask=not_null("label"),
            got="nothing",
            wanted="a label",
            fix=f"fill in the label; its column is columns.label of {CARD}",
            column=names.label,
        )
    yield Rule(
        name="label_formula",
        ask=Ask("ExpectColumnValuesToNotMatchRegex", {"column": "label", "regex": "^[=+@\t-]"}),
        says="a label must not begin with = + - @ or a tab: a spreadsheet would run it",
        got="{label!r}",
        wanted="a label that no spreadsheet takes for a formula",
        fix="rename the label",
        column=names.label,
    )


def _duplicate_row(names: Names) -> Rule:
    return Rule(
        name="duplicate_row",
        ask=Ask("ExpectCompoundColumnsToBeUnique", {"column_list": ["image", "label", *BOX]}),
        says="no two rows may have the same image, label and box",
        got="the row of {first_place} again",
        wanted="each row once",
        fix="remove one of them",
        column=names.image,
        told="is_repeat",
    )


def _several_boxes(card: Card, names: Names) -> Rule:
    outcome = {
        "error": f"remove all but one, or set `multiple: largest` or `drop` in {CARD}",
        "largest": "nothing, if the largest is the object; this box is set aside",
        "drop": "nothing, if such images are not wanted; this box is set aside",
    }
    return Rule(
        name="several_boxes",
        ask=Ask("ExpectColumnValuesToBeBetween", {"column": "boxes_in_image", "max_value": 1}),
        says="an image must have one box of the task",
        got="{boxes_in_image:.0f} boxes in {image!r}: {places}",
        wanted="one box",
        fix=outcome[card.multiple],
        column=names.image,
        severity="critical" if card.multiple == "error" else "warning",
        told="is_surplus",
    )


def _unit_coordinates() -> Rule:
    return Rule(
        name="unit_coordinates",
        ask=Ask("ExpectColumnMaxToBeBetween", {"column": "largest_value", "min_value": 1, "strict_min": True}),
        says="boxes in pixels must have a value above 1",
        got="no value above 1 in the whole table",
        wanted="pixels",
        fix=f"are the boxes shares of the image? set box_units: unit in {CARD}",
        scope="file",
    )


def _small_box(smallest_side: float) -> Rule:
    return Rule(
        name="small_box",
        ask=at_least("smallest_share", smallest_side),
        says=f"a box's sides should be {smallest_side:g} of the image's or more",
        got="a side of {smallest_share:.4f} of the image's",
        wanted=f"{smallest_side:g} or more",
        fix="is the box right? if not, correct it",
        severity="warning",
    )
