"""How alike the sides of a split are."""

import pandas as pd
import pytest

from localizer.data.split_report import size_histogram, summary
from localizer.data.splitting import SIDES


def images(*rows: tuple[str, str, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["side", "cluster", "box_share"])


SPLIT = images(("train", "a", 0.1), ("train", "a", 0.2), ("train", "b", 0.6), ("test", "c", 0.5))


def test_a_side_is_told_by_its_images_clusters_and_mean_box() -> None:
    told = summary(SPLIT)
    assert told["train"] == {"images": 3, "clusters": 2, "mean_box_share": pytest.approx(0.3)}
    assert told["test"] == {"images": 1, "clusters": 1, "mean_box_share": 0.5}


def test_an_empty_side_is_told_as_zeros() -> None:
    assert summary(SPLIT)["validation"] == {"images": 0, "clusters": 0, "mean_box_share": 0}


@pytest.mark.parametrize(("moved", "crossing"), [("train", 0), ("test", 1)])
def test_clusters_on_two_sides_are_counted(moved: str, crossing: int) -> None:
    split = images(("train", "a", 0.1), (moved, "a", 0.1), ("test", "b", 0.1), ("test", "b", 0.1))
    assert summary(split)["clusters_across_sides"] == crossing


def test_bins_are_of_equal_width_up_to_the_largest_box() -> None:
    table = size_histogram(SPLIT)
    assert table["box_share"].tolist() == pytest.approx([0.06 * index for index in range(10)])
    assert list(table.columns) == ["box_share", *SIDES]


def test_each_side_is_shared_out_over_the_bins() -> None:
    table = size_histogram(SPLIT)
    # Bins are 0.06 wide: 0.1 lies in the second, 0.2 in the fourth, 0.5 in the ninth, 0.6 ends the tenth.
    assert table["train"].tolist() == [0, 0.3333, 0, 0.3333, 0, 0, 0, 0, 0, 0.3333]
    assert table["test"].tolist() == [0, 0, 0, 0, 0, 0, 0, 0, 1, 0]


def test_an_empty_side_has_no_image_in_any_bin() -> None:
    assert size_histogram(SPLIT)["calibration"].tolist() == [0] * 10
