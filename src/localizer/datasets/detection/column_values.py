"""What the values of a column, as text, may be: numbers, an index, a score, a class."""

import pandas as pd

from localizer.tables import Table

NUMERIC = r"\s*[+-]?(?:[0-9]+[.,]?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*"
MAX_CLASSES = 100  # labels at most in a column of class numbers


def is_numeric(column: "pd.Series[str]") -> bool:
    """Return whether all values that are not blank are numbers, and there is one."""
    filled = column[column.str.strip() != ""]
    return bool(len(filled)) and bool(filled.str.fullmatch(NUMERIC).all())


def is_index(column: "pd.Series[str]") -> bool:
    """Return whether a column counts the rows, from 0 or 1."""
    numbers = pd.to_numeric(column, errors="coerce")
    return len(numbers) > 2 and numbers.iloc[0] in (0, 1) and bool((numbers.diff().iloc[1:] == 1).all())


def is_score(column: "pd.Series[str]", table: Table) -> bool:
    """Return whether a column's numbers are in [0, 1] in a table whose others are not."""
    numbers = table.apply(lambda own: pd.to_numeric(own.str.replace(",", "."), errors="coerce"))
    return len(numbers) > 2 and bool((numbers[column.name].max() <= 1) and (numbers.max() > 1).sum() >= 4)


def is_constant(column: "pd.Series[str]") -> bool:
    """Return whether all rows have one number of [0, 1], as a confidence or a class."""
    return len(column) > 2 and column.nunique() == 1 and float(column.iloc[0].replace(",", ".") or 2) <= 1


def is_class(column: "pd.Series[str]") -> bool:
    """Return whether whole numbers are so few that they may be classes."""
    whole = column.str.fullmatch(r"\s*[0-9]+(\.0*)?\s*").all()
    return bool(whole) and column.nunique() <= min(MAX_CLASSES, len(column) // 4)
