"""Labels that look like slips of the pen."""

import pandas as pd
import pytest

from localizer.dataset import CsvColumns, DatasetConfig
from localizer.validation.rules.label_typos import label_doubts

COLUMNS = CsvColumns(image="image", box=["a", "b", "c", "d"], label="label")


def doubts(*labels: str, label: str | None = None) -> list[str]:
    """Return what was got, for boxes with these labels."""
    card = DatasetConfig(title="t", format="csv", annotations="a.csv", images="i", columns=COLUMNS, label=label)
    found = list(label_doubts(pd.DataFrame({"label": list(labels)}), card, source="a.csv"))
    assert {one.severity for one in found} <= {"warning"}
    return [one.got for one in found]


@pytest.mark.parametrize("slip", ["Digit", "digit ", " DIGIT", "digit\u00a0"])
def test_a_label_alike_but_for_case_or_blanks_is_told_however_frequent(slip: str) -> None:
    assert doubts("digit", "digit", "digit", slip, slip) == [
        f"2 rows labelled {slip!r}, beside 3 labelled 'digit'",
    ]


def test_a_rare_label_nearly_equal_to_a_frequent_one_is_told() -> None:
    assert doubts(*["digit"] * 20, "digti") == ["1 rows labelled 'digti', beside 20 labelled 'digit'"]


def test_a_label_that_is_not_rare_is_another_label() -> None:
    assert doubts(*["digit"] * 19, "digti") == []


def test_labels_that_differ_are_no_slips() -> None:
    assert doubts(*["raccoon"] * 40, "cat", "dog") == []


def test_rows_that_the_task_leaves_out_by_a_slip_are_told_so() -> None:
    (got,) = doubts("digit", "digit", "Digit", label="digit")
    assert got.endswith("the task's: they are left out")


def test_a_thousand_and_one_labels_are_descriptions_and_not_compared() -> None:
    assert doubts(*(f"label {number}" for number in range(1001)), "label 1 ") == []
