"""What is asked of annotations and images: each rule is one expectation of Great Expectations.

The texts of a rule are templates over the columns of the row that fails it (see `expectations`); those of
a file's rule know only {count} and {first}, its failing rows' number and first few images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from localizer.dataset import DatasetConfig
from localizer.findings import Severity

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

    column: the user's own name. says: the rule in words, where `expected` alone does not say it. told: a
    boolean column that marks which failing rows become findings (of two equal rows, the second).
    """

    name: str
    ask: Ask
    got: str
    expected: str
    fix: str
    column: str = ""
    says: str = ""
    severity: Severity = "critical"
    scope: Literal["row", "image", "column", "file"] = "row"
    told: str = ""

    def describe(self) -> str:
        """Return the rule in one line, for Data Docs."""
        return f"{self.name} ({self.severity}): {self.says or f'{self.column} must be {self.expected}'}"


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


NAMES = {
    "voc": Names(),
    "coco": Names(
        "image_id's file_name",
        ("bbox[0]", "bbox[1]", "bbox[2]", "bbox[3]"),
        "category_id",
        ("image_id's width", "image_id's height"),
    ),
    "yolo": Names("image", ("x_center", "y_center", "width", "height"), "class"),
}


def column_names(card: DatasetConfig) -> Names:
    """Return what the user, or the format, calls the columns."""
    if card.columns is None:
        return NAMES[card.format]
    size = (card.columns.width or "width", card.columns.height or "height")
    return Names(card.columns.image, tuple(card.columns.box), card.columns.label or "label", size)


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
