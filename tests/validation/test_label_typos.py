"""Labels that look like typos."""

import pandas as pd
import pytest

from localizer.dataset import CsvColumns, DatasetConfig
from localizer.validation.rules.label_typos import check_labels

COLUMNS = CsvColumns(image="image", box=["a", "b", "c", "d"], label="label")


def typos(*labels: str, label: str | None = None) -> list[str]:
    """Return what was got, for boxes with these labels."""
    config = DatasetConfig(title="t", format="csv", annotations="a.csv", images="i", columns=COLUMNS, label=label)
    found = list(check_labels(pd.DataFrame({"label": list(labels)}), config, source="a.csv"))
    assert {finding.severity for finding in found} <= {"warning"}
    return [finding.got for finding in found]


@pytest.mark.parametrize("typo", ["Digit", "digit ", " DIGIT", "digit\u00a0"])
def test_a_label_alike_but_for_case_or_blanks_is_reported_however_frequent(typo: str) -> None:
    assert typos("digit", "digit", "digit", typo, typo) == [
        f"2 rows labeled {typo!r}, and 3 labeled 'digit'",
    ]


def test_a_rare_label_nearly_equal_to_a_frequent_one_is_reported() -> None:
    assert typos(*["digit"] * 20, "digti") == ["1 row labeled 'digti', and 20 labeled 'digit'"]


def test_a_label_that_is_not_rare_is_another_label() -> None:
    assert typos(*["digit"] * 19, "digti") == []


def test_labels_that_differ_are_no_typos() -> None:
    assert typos(*["raccoon"] * 40, "cat", "dog") == []


def test_rows_that_the_task_leaves_out_by_a_typo_are_reported_so() -> None:
    (got,) = typos("digit", "digit", "Digit", label="digit")
    assert got.endswith("the task's: the former are ignored")


def test_a_thousand_and_one_labels_are_descriptions_and_not_compared() -> None:
    assert typos(*(f"label {number}" for number in range(1001)), "label 1 ") == []
