"""What is asked of annotations and images: each rule is one expectation of Great Expectations.

The texts of a rule are templates over the columns of the row that fails it (see `expectations`); those of
a file's rule know only {count} and {first}, its failing rows' number and first few images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from localizer.data.card import Card

Severity = Literal["critical", "warning"]

CARD = "data/NAME/dataset.yaml"
# What the annotation says of the image's size, as text; as numbers the names are without _text.
SIZES = {"width": "annotated_width_text", "height": "annotated_height_text"}


@dataclass(frozen=True)
class Ask:
    """The class name of an expectation of Great Expectations, and its arguments."""

    expectation: str
    arguments: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """An expectation, and what to say of what fails it.

    column: the user's own name. says: the rule in words, where `wanted` alone does not say it. told: a
    boolean column that marks which failing rows become findings (of two equal rows, the second).
    """

    name: str
    ask: Ask
    got: str
    wanted: str
    fix: str
    column: str = ""
    says: str = ""
    severity: Severity = "critical"
    scope: Literal["row", "image", "file"] = "row"
    told: str = ""

    def describe(self) -> str:
        """Return the rule in one line, for Data Docs."""
        return f"{self.name} ({self.severity}): {self.says or f'{self.column} must be {self.wanted}'}"


@dataclass(frozen=True)
class Failure:
    """A rule that does not hold, and which rows of its table fail it, by position (none: the table)."""

    rule: Rule
    rows: tuple[int, ...] = ()


@dataclass(frozen=True)
class Names:
    """The user's own column names; the tags of Pascal VOC where the card gives none."""

    image: str = "filename"
    box: tuple[str, ...] = ("xmin", "ymin", "xmax", "ymax")
    label: str = "name"
    size: tuple[str, ...] = ("width", "height")


def column_names(card: Card) -> Names:
    """Return what the user calls the columns."""
    if card.columns is None:
        return Names()
    size = (card.columns.width or "width", card.columns.height or "height")
    return Names(card.columns.image, tuple(card.columns.box), card.columns.label or "label", size)


def image_rules() -> list[Rule]:
    """Return the rules for the table of images."""
    return [_image_undecodable(), _duplicate_content(), _image_not_annotated()]


def name_some(names: Sequence[str], *, most: int = 3) -> str:
    """Return the first few names as text: "a, b, c and 7 more"."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def at_least(column: str, low: float, *, strict: bool = False) -> Ask:
    """Return the question whether the column's values are `low` or more; more than `low` if strict."""
    return Ask("ExpectColumnValuesToBeBetween", {"column": column, "min_value": low, "strict_min": strict})


def exceeds(high: str, low: str, *, or_equal: bool = False) -> Ask:
    """Return the question whether one column's values exceed another's, where both are known."""
    pair = {
        "column_A": high,
        "column_B": low,
        "or_equal": or_equal,
        "ignore_row_if": "either_value_is_missing",
    }
    return Ask("ExpectColumnPairValuesAToBeGreaterThanB", pair)


def is_true(column: str) -> Ask:
    """Return the question whether the column holds the text "True"."""
    return Ask("ExpectColumnValuesToBeInSet", {"column": column, "value_set": ["True"]})


def not_null(column: str) -> Ask:
    """Return the question whether the column has a value in every row."""
    return Ask("ExpectColumnValuesToNotBeNull", {"column": column})


def _image_undecodable() -> Rule:
    return Rule(
        name="image_undecodable",
        ask=is_true("decodes"),
        says="an image file must decode whole",
        got="{problem}",
        wanted="an image that decodes whole",
        fix="replace the file, or remove it and its rows",
        scope="image",
    )


def _duplicate_content() -> Rule:
    return Rule(
        name="duplicate_content",
        ask=Ask("ExpectColumnValuesToBeUnique", {"column": "sha256"}),
        says="no two image files may be equal, byte for byte",
        got="equal files: {same_as}",
        wanted="one file a picture",
        fix="keep one of them, with the better box",
        severity="warning",
        scope="image",
    )


def _image_not_annotated() -> Rule:
    return Rule(
        name="image_not_annotated",
        ask=is_true("annotated"),
        says="a box should name each image file",
        got="no box for {count} of the images: {first}",
        wanted="a box for each image",
        fix="annotate them, or remove them; they are not used",
        severity="warning",
        scope="file",
    )
