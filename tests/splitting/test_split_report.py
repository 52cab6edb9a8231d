"""The report of a split: how similar its splits are, and which images stay together."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from localizer.drawing import LINE_PX, MARGIN_PX, TILE_PX
from localizer.probing.duplicates import Link
from localizer.splitting.cluster_sheets import CELL_PX, MAX_SHEETS, MAX_TILES, draw_clusters
from localizer.splitting.report import (
    SplitDifference,
    cluster_table,
    measure_differences,
    render_report,
    size_histogram,
    split_metrics,
    split_warnings,
)
from localizer.tables import SPLITS, read_table


def images(*rows: tuple[str, str, float]) -> pd.DataFrame:
    """Return images 0.png, 1.png, ... of split, cluster and box share, with one label."""
    table = pd.DataFrame(rows, columns=["split", "cluster", "box_share"])
    return table.assign(label="raccoon", image=[f"{index}.png" for index in range(len(rows))])


SPLIT = images(("train", "a", 0.1), ("train", "a", 0.2), ("train", "b", 0.6), ("test", "c", 0.5))


def splits(**shares: list[float]) -> pd.DataFrame:
    """Return images of these box shares per split, each a cluster of its own."""
    rows = [
        (split, f"{split} {index}", share) for split, values in shares.items() for index, share in enumerate(values)
    ]
    return images(*rows)


def labeled(**labels: str) -> pd.DataFrame:
    """Return images of one box share, with a label of one letter each."""
    table = splits(**{split: [0.5] * len(letters) for split, letters in labels.items()})
    return table.assign(label=list("".join(labels.values())))


def difference(split: pd.DataFrame, what: str) -> SplitDifference:
    (difference,) = [difference for difference in measure_differences(split) if difference.what == what]
    return difference


def metrics(split: pd.DataFrame) -> dict[str, Any]:
    differences = measure_differences(split)
    return split_metrics(split, differences, split_warnings(split, differences, {}))


def warnings(split: pd.DataFrame) -> list[str]:
    return split_warnings(split, measure_differences(split), {})


def test_a_split_is_described_by_its_images_clusters_and_mean_box() -> None:
    found = split_metrics(SPLIT, [], [])
    assert found["train"] == {"images": 3, "clusters": 2, "mean_box_share": pytest.approx(0.3)}
    assert found["test"] == {"images": 1, "clusters": 1, "mean_box_share": 0.5}


def test_an_empty_split_has_zeros() -> None:
    assert split_metrics(SPLIT, [], [])["validation"] == {"images": 0, "clusters": 0, "mean_box_share": 0}


@pytest.mark.parametrize(("moved", "crossing"), [("train", 0), ("test", 1)])
def test_clusters_in_two_splits_are_counted(moved: str, crossing: int) -> None:
    split = images(("train", "a", 0.1), (moved, "a", 0.1), ("test", "b", 0.1), ("test", "b", 0.1), ("test", "c", 0.1))
    found = split_metrics(split, [], [])
    assert found["clusters_across_sides"] == crossing
    assert (found["clusters_of_several"], found["images_in_them"]) == (2, 4)


def test_differences_and_warnings_are_metrics() -> None:
    split = splits(train=[0.1] * 20, test=[0.9] * 20)
    found = metrics(split)
    assert (found["test"]["box_sizes_difference"], found["test"]["labels_difference"]) == (1, 0)
    assert "box_sizes_difference" not in found["train"] | found["validation"]
    assert found["warnings"] == 1


def test_box_sizes_differ_by_the_largest_gap_between_the_shares_of_smaller_ones() -> None:
    # At 0.2 all of train's boxes and half of test's are as small or smaller.
    found = difference(splits(train=[0.1, 0.2] * 20, test=[0.1, 0.3] * 20), "box sizes")
    assert found.split == "test"
    assert found.effect == pytest.approx(0.5)
    assert found.is_notable()


def test_labels_differ_by_cramers_v() -> None:
    # Train 30 a, 10 b; test 10 a, 30 b: 20 expected everywhere, chi2 = 4 * 10^2 / 20 = 20, V = sqrt(20 / 80).
    found = difference(labeled(train="a" * 30 + "b" * 10, test="a" * 10 + "b" * 30), "labels")
    assert found.effect == pytest.approx(0.5)
    assert found.p_value == pytest.approx(7.74e-6, rel=0.01)  # the tail of chi2 of one degree at 20
    assert found.is_notable()


def test_a_label_that_train_does_not_have_counts() -> None:
    found = difference(labeled(train="a" * 30, test="a" * 15 + "b" * 15), "labels")
    # Expected b: 10 of 60 images, so 10 * 30 / 40 ... chi2 = 60 * (30 * 15 - 0)^2 / (30 * 30 * 45 * 15) = 20.
    assert found.effect == pytest.approx((20 / 60) ** 0.5)


def test_one_label_does_not_differ() -> None:
    assert difference(labeled(train="aaa", test="aa"), "labels")[-2:] == (0, 1)


@pytest.mark.parametrize(
    ("effect", "p_value", "notable"), [(0.11, 0.009, True), (0.1, 0.009, False), (0.11, 0.01, False)]
)
def test_a_difference_is_notable_if_it_is_large_and_significant(effect: float, p_value: float, notable: bool) -> None:
    assert SplitDifference("test", "labels", "Cramér's V", effect, p_value).is_notable() == notable


def test_a_few_images_that_differ_by_chance_raise_no_warning() -> None:
    split = splits(train=[0.1, 0.2, 0.3], test=[0.4, 0.5])
    assert difference(split, "box sizes").effect == 1
    assert warnings(split) == []


def test_a_split_without_images_is_not_compared() -> None:
    assert measure_differences(splits(train=[0.1, 0.2])) == []
    assert measure_differences(splits(test=[0.1, 0.2])) == []


def test_a_warning_has_split_measure_effect_and_fix() -> None:
    split = splits(train=[0.1] * 20, validation=[0.9] * 20, test=[0.1] * 20)
    (text,) = warnings(split)
    assert text.startswith(
        "box sizes in validation are distributed differently than in train (Kolmogorov-Smirnov 1.00, p"
    )
    assert text.endswith("try split.method stratified or another seed")


@pytest.mark.parametrize(("together", "warned"), [(2, False), (3, True)])
def test_a_cluster_of_more_than_a_tenth_of_the_images_is_a_warning(together: int, warned: bool) -> None:
    rows = [("train", "big" if index < together else f"{index}", 0.5) for index in range(20)]
    texts = split_warnings(images(*rows), [], {})
    assert bool(texts) == warned
    assert all("the largest cluster has 3 of 20 images" in text for text in texts)


def test_single_images_are_no_large_cluster() -> None:
    assert split_warnings(images(("train", "a", 0.5), ("test", "b", 0.5)), [], {}) == []


def test_bins_are_of_equal_width_up_to_the_largest_box() -> None:
    table = size_histogram(SPLIT)
    assert table["box_share"].tolist() == pytest.approx([0.06 * index for index in range(10)])
    assert list(table.columns) == ["box_share", *SPLITS]


def test_each_split_is_distributed_over_the_bins() -> None:
    table = size_histogram(SPLIT)
    # Bins are 0.06 wide: 0.1 lies in the second, 0.2 in the fourth, 0.5 in the ninth, 0.6 ends the tenth.
    assert table["train"].tolist() == [0, 0.3333, 0, 0.3333, 0, 0, 0, 0, 0, 0.3333]
    assert table["test"].tolist() == [0, 0, 0, 0, 0, 0, 0, 0, 1, 0]


def test_an_empty_split_has_no_image_in_any_bin() -> None:
    assert size_histogram(SPLIT)["calibration"].tolist() == [0] * 10


def clustered(*sizes: int) -> pd.DataFrame:
    """Return clusters of these many images, named a, b, ..., in train."""
    return images(*[("train", chr(97 + index), 0.5) for index, size in enumerate(sizes) for _ in range(size)])


def test_only_clusters_of_several_are_listed_the_largest_first() -> None:
    table = cluster_table(clustered(1, 2, 3, 2), [])
    assert table["cluster"].tolist() == ["c"] * 3 + ["b"] * 2 + ["d"] * 2
    assert table["image"].tolist() == ["3.png", "4.png", "5.png", "1.png", "2.png", "6.png", "7.png"]
    assert list(table.columns) == ["cluster", "image", "split", "reason"]


def test_an_image_has_one_reason_of_each_kind_for_its_cluster() -> None:
    links = [
        Link(0, 1, "same bytes"),
        Link(0, 2, "same bytes"),
        Link(1, 3, "looks the same (12 of 256 bits differ)"),
        Link(2, 3, "looks the same (20 of 256 bits differ)"),
        Link(2, 3, "same group p"),
    ]
    assert cluster_table(clustered(4), links)["reason"].tolist() == [
        "same bytes: 1.png",
        "same bytes: 0.png; looks the same (12 of 256 bits differ): 3.png",
        "same bytes: 0.png; looks the same (20 of 256 bits differ): 3.png; same group p",
        "looks the same (12 of 256 bits differ): 1.png; same group p",
    ]


def test_the_order_of_images_changes_no_listing() -> None:
    split = clustered(2, 1, 3, 2)
    mixed = split.sample(frac=1, random_state=2)
    pd.testing.assert_frame_equal(cluster_table(mixed, []), cluster_table(split, []))


def pictured(folder: Path, *sizes: int) -> pd.DataFrame:
    """Return clusters as `clustered` does, of image files, each of its own gray, with a box."""
    split = clustered(*sizes)
    folder.mkdir()
    for index, name in enumerate(split["image"]):
        Image.new("RGB", (50, 50), (index, index, index)).save(folder / name)
    edges = {"xmin_px": 10.0, "ymin_px": 10.0, "xmax_px": 40.0, "ymax_px": 40.0}
    return split.assign(path=[str(folder / name) for name in split["image"]], **edges)


def shade(sheet: Image.Image, place: int, *, columns: int) -> int:
    """Return the gray level of the tile at that position."""
    left, top = MARGIN_PX + place % columns * CELL_PX[0], 2 * LINE_PX + place // columns * CELL_PX[1]
    return int(np.asarray(sheet)[top + 5 : top + 20, left + 5 : left + 20].mean().round())


def test_a_sheet_shows_a_clusters_images_side_by_side(tmp_path: Path) -> None:
    split = pictured(tmp_path / "images", 1, 2, 5)
    draw_clusters(split, cluster_table(split, []), tmp_path / "sheets")
    assert sorted(path.name for path in (tmp_path / "sheets").iterdir()) == ["001.jpg", "002.jpg", "index.csv"]
    index = read_table(tmp_path / "sheets" / "index.csv")
    assert [*zip(index["picture"], index["cluster"], strict=True)] == [
        (f"{number:03d}.jpg", name) for number, name in enumerate(cluster_table(split, [])["cluster"].unique(), start=1)
    ]
    first, second = (Image.open(tmp_path / "sheets" / name) for name in ("001.jpg", "002.jpg"))
    assert [shade(first, place, columns=4) for place in range(5)] == pytest.approx([3, 4, 5, 6, 7], abs=1)
    assert [shade(second, place, columns=2) for place in range(2)] == pytest.approx([1, 2], abs=1)


def test_the_box_is_drawn_in_green(tmp_path: Path) -> None:
    split = pictured(tmp_path / "images", 2)
    draw_clusters(split, cluster_table(split, []), tmp_path / "sheets")
    with Image.open(tmp_path / "sheets" / "001.jpg") as sheet:
        line = sheet.getpixel((MARGIN_PX + TILE_PX // 2, 2 * LINE_PX + 44))  # 10 pixels, enlarged by 220 / 50
    assert isinstance(line, tuple)
    assert line[1] > 100 > line[0]


def test_a_large_cluster_shows_its_first_images_and_many_clusters_the_first_sheets(tmp_path: Path) -> None:
    split = pictured(tmp_path / "images", MAX_TILES + 3, *[2] * MAX_SHEETS)
    draw_clusters(split, cluster_table(split, []), tmp_path / "sheets")
    assert len(list((tmp_path / "sheets").glob("*.jpg"))) == MAX_SHEETS
    with Image.open(tmp_path / "sheets" / "001.jpg") as sheet:
        assert sheet.height == 2 * LINE_PX + 3 * CELL_PX[1]  # twelve tiles in rows of four


def test_a_missing_image_leaves_an_empty_tile(tmp_path: Path) -> None:
    split = pictured(tmp_path / "images", 2)
    (tmp_path / "images" / "1.png").unlink()
    draw_clusters(split, cluster_table(split, []), tmp_path / "sheets")
    with Image.open(tmp_path / "sheets" / "001.jpg") as sheet:
        assert shade(sheet, 0, columns=2) == pytest.approx(0, abs=1)
        assert shade(sheet, 1, columns=2) > 200


def test_sheets_of_an_earlier_split_are_removed_and_the_folder_is_there(tmp_path: Path) -> None:
    (tmp_path / "sheets").mkdir()
    (tmp_path / "sheets" / "009.jpg").touch()
    split = clustered(1).assign(path="", xmin_px=0, ymin_px=0, xmax_px=0, ymax_px=0)
    draw_clusters(split, cluster_table(split, []), tmp_path / "sheets")
    assert [path.name for path in (tmp_path / "sheets").iterdir()] == ["index.csv"]


def report(split: pd.DataFrame, *, sheets: Path | None = Path("clusters"), warnings: tuple[str, ...] = ()) -> str:
    clusters = cluster_table(split, [Link(0, 1, "same bytes")])
    return render_report(split_metrics(split, [], warnings), clusters, warnings, sheets=sheets)


def test_the_report_has_splits_and_clusters_with_their_sheets() -> None:
    text = report(clustered(2, 1))
    assert "| train | 3 | 2 | 0.500 |" in text
    assert "No cluster crosses splits: 1 of 2 or more images, 2 images in all." in text
    assert (
        "### Cluster 1: 2 images, all in train\n\n![cluster 1](clusters/001.jpg)\n\n- `0.png`: same bytes: 1.png"
        in text
    )
    assert "- none" in text


@pytest.mark.parametrize(("test", "got"), [(1, ["2% (1 of 40)"]), (2, []), (8, []), (9, ["22% (9 of 40)"])])
def test_a_split_of_less_than_half_or_more_than_twice_its_fraction_is_a_warning(test: int, got: list[str]) -> None:
    split = images(*[("train" if index < 40 - test else "test", f"{index}", 0.5) for index in range(40)])
    texts = split_warnings(split, [], {"train": 0.9, "validation": 0, "test": 0.1})
    assert [text.split("; ")[0] for text in texts] == [f"test: expected 10% of the images, got {text}" for text in got]


def test_the_report_lists_warnings() -> None:
    assert "\n- first\n- second\n" in report(clustered(2), warnings=("first", "second"))


def test_a_report_without_sheets_has_the_reason_and_still_names_the_images() -> None:
    text = report(clustered(2), sheets=None)
    assert "dataset.yaml has `show_images: false`: no image is shown here." in text
    assert ".jpg" not in text
    assert "- `0.png`: same bytes: 1.png" in text


def test_the_report_says_how_much_it_omits() -> None:
    text = report(clustered(MAX_TILES + 3, *[2] * (MAX_SHEETS + 4)))
    assert f"The {MAX_SHEETS} largest follow; 5 more are in clusters.csv." in text
    assert "\n- and 3 more\n" in text
    assert f"### Cluster {MAX_SHEETS}:" in text
    assert f"### Cluster {MAX_SHEETS + 1}:" not in text


def test_a_name_cannot_break_out_of_its_quotes() -> None:
    split = clustered(2).assign(image=["a`b.png", "c.png"])
    assert "- `a b.png`: " in report(split)
