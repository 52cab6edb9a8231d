"""Likely label errors: what ranks first, and what is left out."""

from typing import Any

import numpy as np
import pandas as pd

from localizer.evaluation.label_errors import COLUMNS, MAX_ROWS, label_errors


def table(count: int, **columns: Any) -> pd.DataFrame:
    """Return so many rows, each with its annotation's place; the columns are given."""
    images = {
        "image": [f"{index:03d}.jpg" for index in range(count)],
        "file": "boxes.csv",
        "line": np.arange(count) + 2,
        "split": "test",
        "label": "cat",
    }
    return pd.DataFrame(images | columns)


def test_a_wrong_box_among_200_ranks_first() -> None:
    rng = np.random.default_rng(0)
    iou, agreement = rng.beta(5, 3, 200), rng.beta(4, 2, 200)
    iou[77], agreement[77] = 0, 0.97  # the model is sure of another place
    first = label_errors(table(200, iou=iou, agreement=agreement)).iloc[0]
    assert (first["rank"], first["image"], first["line"], first["doubt"]) == (1, "077.jpg", 79, 0.97)


def test_doubt_is_the_agreement_times_one_minus_the_iou() -> None:
    found = label_errors(table(3, iou=[0.2, 0.4, 0.0], agreement=[0.5, 1.0, 0.1]))
    assert found[["rank", "image", "doubt"]].to_numpy().tolist() == [
        [1, "001.jpg", 0.6],
        [2, "000.jpg", 0.4],
        [3, "002.jpg", 0.1],
    ]


def test_low_agreement_ranks_an_image_last() -> None:
    found = label_errors(table(2, iou=[0.0, 0.3], agreement=[0.2, 0.9]))
    assert found["image"].tolist() == ["001.jpg", "000.jpg"]


def test_a_box_with_an_iou_of_a_half_or_more_is_no_label_error() -> None:
    found = label_errors(table(3, iou=[0.5, 0.499999, 0.9], agreement=[1.0, 1.0, 1.0]))
    assert found["image"].tolist() == ["001.jpg"]


def test_ties_are_ordered_by_name_whatever_the_order_of_rows() -> None:
    images = table(5, iou=0.0, agreement=0.5)
    shuffled = images.sample(frac=1, random_state=3)
    assert label_errors(shuffled)["image"].tolist() == images["image"].tolist()


def test_the_rank_does_not_hang_on_the_order_of_rows_and_rows_are_not_changed() -> None:
    rng = np.random.default_rng(1)
    images = table(100, iou=rng.random(100) / 2, agreement=rng.random(100).round(1))
    before = images.copy()
    found = label_errors(images)
    pd.testing.assert_frame_equal(found, label_errors(images.sample(frac=1, random_state=3)))
    pd.testing.assert_frame_equal(images, before)
    assert found["rank"].tolist() == [*range(1, len(found) + 1)]


def test_the_table_has_the_likeliest_label_errors_only() -> None:
    count = MAX_ROWS + 50
    found = label_errors(table(count, iou=0.0, agreement=np.arange(count) / count))
    assert len(found) == MAX_ROWS
    assert found["image"].iloc[0] == f"{count - 1:03d}.jpg"


def test_without_label_errors_the_table_has_its_columns_and_no_row() -> None:
    found = label_errors(table(2, iou=0.9, agreement=1.0))
    assert len(found) == 0
    assert {*COLUMNS} <= {*found.columns}
