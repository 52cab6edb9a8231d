"""Tables between stages: the same bytes for the same table, and the same table back."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from localizer.tables import read_table, write_table

AWKWARD = ["NA", "007", "", "null", "nan", "1e5", " a ", "a,b", 'say "x"', "a\nb", "a\r\nb", "a\rb", "é", "\u2028", "#"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "table.csv"


def test_a_table_is_written_as_utf_8_lines_without_an_index_and_its_folder_made(path: Path) -> None:
    write_table(pd.DataFrame({"image": ["é.jpg", "b"], "n": [1, 2]}, index=[5, 6]), path)
    assert path.read_bytes() == "image,n\né.jpg,1\nb,2\n".encode()


def test_text_comes_back_as_it_was(path: Path) -> None:
    table = pd.DataFrame({"text": AWKWARD, "n": "x"})
    write_table(table, path)
    assert read_table(path)["text"].tolist() == AWKWARD
    assert (read_table(path)["n"] == "x").all()


@pytest.mark.parametrize("text", AWKWARD)
def test_text_comes_back_also_from_a_table_of_one_column(path: Path, text: str) -> None:
    write_table(pd.DataFrame({"text": [text, "last"]}), path)
    assert read_table(path)["text"].tolist() == [text, "last"]


def test_numbers_are_text_unless_they_are_asked_for(path: Path) -> None:
    write_table(pd.DataFrame({"n": [1.5, 2.0]}), path)
    assert read_table(path)["n"].tolist() == ["1.5", "2.0"]
    assert read_table(path, numbers=["n"])["n"].tolist() == [1.5, 2.0]


def test_numbers_come_back_to_the_last_bit(path: Path) -> None:
    numbers = np.random.default_rng(0).uniform(0, 1000, 1000) / 7
    write_table(pd.DataFrame({"n": numbers}), path)
    assert read_table(path, numbers=["n"])["n"].tolist() == numbers.tolist()


def test_a_missing_number_is_nan(path: Path) -> None:
    write_table(pd.DataFrame({"n": [1.5, np.nan], "m": [np.nan, np.nan]}), path)
    table = read_table(path, numbers=["n", "m"])
    assert np.isnan(table.to_numpy(dtype=float)).tolist() == [[False, True], [True, True]]


def test_whole_numbers_are_numbers_too(path: Path) -> None:
    write_table(pd.DataFrame({"n": [1, 2]}), path)
    assert (read_table(path, numbers=["n"])["n"] / 2).tolist() == [0.5, 1]


def test_text_in_the_place_of_a_number_is_refused(path: Path) -> None:
    write_table(pd.DataFrame({"n": ["1", "x"]}), path)
    with pytest.raises(ValueError, match=r"table\.csv: not a table written by .* 'x' at .*; `dvc repro` rebuilds it"):
        read_table(path, numbers=["n"])


@pytest.mark.parametrize("columns", [{"numbers": ["n"]}, {"only": ["image", "n"]}])
def test_a_column_that_is_wanted_and_missing_is_named_with_the_file(path: Path, columns: dict[str, list[str]]) -> None:
    write_table(pd.DataFrame({"image": ["a"]}), path)
    with pytest.raises(ValueError, match=r"table\.csv: .*'n'.*; `dvc repro` rebuilds it"):
        read_table(path, **columns)


def test_an_empty_file_is_refused_by_name(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    with pytest.raises(ValueError, match=r"table\.csv: not a table .* No columns to parse"):
        read_table(path)


def test_a_table_without_rows_keeps_its_columns(path: Path) -> None:
    write_table(pd.DataFrame({"a": [], "n": []}), path)
    table = read_table(path, numbers=["n"])
    assert list(table.columns) == ["a", "n"]
    assert table.empty


def test_only_the_columns_that_are_wanted_are_read(path: Path) -> None:
    write_table(pd.DataFrame({"image": ["007"], "n": [1.5], "long": ["x"]}), path)
    table = read_table(path, only=["image", "n"], numbers=["n"])
    assert table.to_dict("list") == {"image": ["007"], "n": [1.5]}
