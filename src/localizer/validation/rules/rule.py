"""A validation rule: one expectation of Great Expectations, and the texts of the findings it leads to."""

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

from localizer.boxes import FORMATS
from localizer.dataset import DatasetConfig
from localizer.findings import Severity
from localizer.tables import BOX

DATASET_YAML = "data/NAME/dataset.yaml"  # in the texts of rules; findings name the data set's own
# The image's size as annotated: columns of text; the same as numbers are named without _text.
SIZES = {"width": "annotated_width_text", "height": "annotated_height_text"}

ROLES = ("image", "label", "width", "height", *BOX)
FORMAT_COLUMNS = {  # where a format has its own words
    "voc": ("filename", "name", "width", "height", "xmin", "ymin", "xmax", "ymax"),
    "coco": (
        *("image_id's file_name", "category_id", "image_id's width", "image_id's height"),
        *("bbox[0]", "bbox[1]", "bbox[2]", "bbox[3]"),
    ),
    "yolo": ("image", "class", "width", "height", "x_center", "y_center", "width", "height"),
}


class Expectation(NamedTuple):
    """The class name of an expectation of Great Expectations, and its arguments."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Rule:
    """One row of a table of rules.

    expected, got, fix: templates over the columns of the failing row. For scope `file` they can use {images},
    {boxes} and {first} only: the number of failing rows with its noun, `2 images`, and their first images.
    column: a key of `column_names`; in the rules of a data set, the user's own column.
    description: for Data Docs, where "`column` must be `expected`" is not enough.
    only_where: a boolean column; of the failing rows, those where it is true become findings.
    applies: whether the rule is for a data set of this config.
    """

    name: str
    severity: Severity
    scope: Literal["row", "image", "column", "file"]
    expectation: Expectation
    _: KW_ONLY
    column: str = ""
    description: str = ""
    expected: str
    got: str
    fix: str
    only_where: str = ""
    applies: Callable[[DatasetConfig], bool] = lambda config: True

    def describe(self) -> str:
        """Return the rule on one line, for Data Docs."""
        return f"{self.name} ({self.severity}): {self.description or f'{self.column} must be {self.expected}'}"


class Failure(NamedTuple):
    """A rule that does not hold, and the positions of the rows that fail it; none where it is about the table."""

    rule: Rule
    rows: Sequence[int] = ()


def column_names(config: DatasetConfig) -> dict[str, str]:
    """Return, for each of ROLES, the user's name of the column, or the format's; given_split where it has one."""
    columns = config.columns
    if columns is None:
        usual = ("image", "label", "width", "height", *FORMATS[config.box_format])
        return dict(zip(ROLES, FORMAT_COLUMNS.get(config.format, usual), strict=True))
    size = (columns.width or "width", columns.height or "height")
    names = dict(zip(ROLES, (columns.image, columns.label or "label", *size, *columns.box), strict=True))
    return names | ({"given_split": columns.split} if columns.split else {})


def abbreviate(names: Sequence[str], *, most: int = 3) -> str:
    """Return the first few names as text: "a, b, c and 7 more"."""
    text = ", ".join(names[:most])
    return f"{text} and {len(names) - most} more" if len(names) > most else text


def expect(name: str, **arguments: Any) -> Expectation:
    """Return an expectation of Great Expectations by its class name."""
    return Expectation(name, arguments)


between = partial(expect, "ExpectColumnValuesToBeBetween")
in_set = partial(expect, "ExpectColumnValuesToBeInSet")
not_null = partial(expect, "ExpectColumnValuesToNotBeNull")


def exceeds(high: str, low: str, *, or_equal: bool = False) -> Expectation:
    """Expect the values of one column to exceed another's, where both are known."""
    pair = {"column_A": high, "column_B": low, "ignore_row_if": "either_value_is_missing"}
    return expect("ExpectColumnPairValuesAToBeGreaterThanB", **pair, or_equal=or_equal)
