"""The rules for a box's values as they stand in the file: given, numbers, and in order."""

from collections.abc import Iterator

from localizer.boxes import FORMATS
from localizer.dataset import DatasetConfig
from localizer.datasets.coordinates import NUMBER
from localizer.tables import BOX
from localizer.validation.rules.rule import CARD, SIZES, Ask, Names, Rule, at_least, exceeds, is_true, not_null


def value_rules(card: DatasetConfig, names: Names) -> list[Rule]:
    """Return the rules for the path, the four values and the image's size as annotated."""
    return [_image_missing(names), *_given(names), *_plain_numbers(names), *_in_order(card, names)]


def _image_missing(names: Names) -> Rule:
    return Rule(
        name="image_missing",
        ask=is_true("exists"),
        got="{image!r}: {problem}",
        expected="an image file below the images folder",
        fix="add the file, or correct the path, which begins at the images folder",
        column=names.image,
    )


def _given(names: Names) -> Iterator[Rule]:
    for text, column in zip(BOX, names.box, strict=True):
        yield Rule(
            name="value_missing",
            ask=not_null(text),
            got="nothing",
            expected="a number",
            fix="fill in the value, or remove the row",
            column=column,
        )


def _plain_numbers(names: Names) -> Iterator[Rule]:
    for text, column in zip((*BOX, *SIZES.values()), names.box + names.size, strict=True):
        yield Rule(
            name="value_not_a_number",
            ask=Ask("ExpectColumnValuesToMatchRegex", {"column": text, "regex": NUMBER}),
            got=f"{{{text}!r}}",
            expected="a plain decimal number such as 12 or 12.5",
            fix="write it with the digits 0 to 9 and a decimal point",
            column=column,
        )


def _in_order(card: DatasetConfig, names: Names) -> Iterator[Rule]:
    numbers = FORMATS[card.box_format]
    are_corners = card.box_format == "xyxy"
    for i in range(4 if are_corners else 2) if not card.clip_px else ():
        yield _not_negative(numbers[i], BOX[i], column=names.box[i])
    for i in (0, 1):
        if are_corners:
            yield _corner_order(card, names, axis=i)
        else:
            yield _positive_side(card, numbers[i + 2], text=BOX[i + 2], column=names.box[i + 2])


def _not_negative(number: str, text: str, *, column: str) -> Rule:
    return Rule(
        name="value_negative",
        ask=at_least(number, 0),
        got=f"{{{text}}}",
        expected="0 or more",
        fix="correct the box, or remove it",
        column=column,
    )


def _corner_order(card: DatasetConfig, names: Names, *, axis: int) -> Rule:
    low, high = FORMATS["xyxy"][axis], FORMATS["xyxy"][axis + 2]
    fix = "correct the box, or remove it"
    if card.format == "csv":
        fix = f"are the columns xywh? set box_format: xywh in {CARD}"
    return Rule(
        name="corner_order",
        ask=exceeds(high, low),
        says=f"{high} must exceed {low}",
        got=f"{high} {{{BOX[axis + 2]}}}",
        expected=f"more than {low} {{{BOX[axis]}}}",
        fix=fix,
        column=names.box[axis + 2],
    )


def _positive_side(card: DatasetConfig, number: str, *, text: str, column: str) -> Rule:
    fix = "correct the box, or remove it"
    if card.format == "csv":
        fix = f"correct the box; or are the columns xyxy? set box_format in {CARD}"
    return Rule(
        name="corner_order",
        ask=at_least(number, 0, strict=True),
        got=f"{number} {{{text}}}",
        expected="more than 0",
        fix=fix,
        column=column,
    )
