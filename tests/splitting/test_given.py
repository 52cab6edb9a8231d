"""Splits that the annotations give: their names, what is made where one is missing, and leaks."""

import pandas as pd
import pytest

from localizer.config import parse
from localizer.splitting.assignment import split_as_given, split_images
from localizer.splitting.given import parse_given_splits
from localizer.splitting.report import cluster_table, render_report, render_terminal, split_metrics, split_warnings
from localizer.tables import SPLITS
from stages.split import METRICS, SplitParams

FRACTIONS = dict(zip(SPLITS, (0.7, 0.1, 0.1, 0.1), strict=True))


def names(count: int) -> pd.Series:
    return pd.Series([f"{number:03d}" for number in range(count)])


def given(*texts: str, cluster: str = "", **fractions: float) -> list[str]:
    """Return the splits of images of these given splits, each a cluster of its own, or of one letter each."""
    clusters = pd.Series(list(cluster)) if cluster else names(len(texts))
    return split_as_given(clusters, pd.Series(texts), fractions=FRACTIONS | fractions, seed=0).tolist()


def test_usual_names_in_any_case_are_known() -> None:
    texts = [
        "train",
        "TRAINING",
        "val",
        "Valid",
        "VALIDATION",
        "dev",
        "calibration",
        " test ",
        "Testing",
        "",
        "UNASSIGNED",
    ]
    expected = ["train"] * 2 + ["validation"] * 4 + ["calibration"] + ["test"] * 2 + [""] * 2
    assert parse_given_splits(pd.Series(texts)).tolist() == expected


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ValueError,
        match=r"^split\.method given: expected one of train, training, .*, got 'fold 1', 'x' for 3 of 5 images",
    ):
        parse_given_splits(pd.Series(["train", "fold 1", "x", "x", "test"]))


def test_no_given_split_at_all_is_refused_with_where_one_may_come_from() -> None:
    with pytest.raises(
        ValueError, match=r"got none; .*columns\.split in dataset\.yaml, .*folders train, valid and test"
    ):
        parse_given_splits(pd.Series(["", " "]))


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["train", "val", ""], "no image is given as test: expected train and test, got train 1, validation 1, "),
        (["test", "val", "unassigned"], "no image is given as train: expected train and test, got train 0, "),
    ],
)
def test_train_and_test_are_never_made(texts: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_given_splits(pd.Series(texts))


def test_given_splits_are_followed_whatever_the_fractions() -> None:
    texts = ["test", "train", "calibration", "valid", "test", "test"]
    assert given(*texts) == ["test", "train", "calibration", "validation", "test", "test"]


def test_given_splits_are_followed_where_they_separate_a_cluster() -> None:
    assert given("train", "test", "valid", "calibration", cluster="aaab")[:3] == ["train", "test", "validation"]


def test_an_image_that_is_given_none_is_assigned_by_hash() -> None:
    # As in test_assignment: the numbers of a, b, c, f and h are 0.510, 0.955, 0.682, 0.870 and 0.771.
    found = given("", "unassigned", "", "", "", "train", "test", "val", "calibration", cluster="abcfhpqrs")
    assert found[:5] == ["train", "test", "train", "calibration", "validation"]


def test_an_image_that_is_given_none_follows_its_cluster_and_train_before_test() -> None:
    # b alone would be in test, see above.
    found = given("", "valid", "", "test", "train", "", "calibration", cluster="bbqqqab")
    assert (found[0], found[2]) == ("validation", "train")


def test_missing_validation_and_calibration_are_as_many_images_of_train_as_their_fractions_of_all_ask_for() -> None:
    found = pd.Series(given(*["train"] * 80, *["test"] * 20))
    # of 100 images
    assert found.value_counts().to_dict() == {"train": 60, "test": 20, "validation": 10, "calibration": 10}
    assert set(found[80:]) == {"test"}


def test_only_what_is_missing_is_made() -> None:
    found = pd.Series(given(*["train"] * 80, *["val"] * 2, *["test"] * 18))
    assert found.value_counts().to_dict() == {"train": 70, "test": 18, "validation": 2, "calibration": 10}


def test_no_calibration_is_made_without_a_fraction() -> None:
    found = pd.Series(given(*["train"] * 80, *["test"] * 20, calibration=0, train=0.8))
    assert found.value_counts().to_dict() == {"train": 70, "test": 20, "validation": 10}


def test_what_is_made_of_train_is_whole_clusters_that_no_other_split_has() -> None:
    cluster = pd.Series([f"{number // 2:03d}" for number in range(100)])
    texts = pd.Series((["train"] * 3 + ["test"]) * 25)  # every other cluster has an image of train and one of test
    split = split_as_given(cluster, texts, fractions=FRACTIONS, seed=0)
    assert (split[texts == "test"] == "test").all()
    assert (split[[*range(2, 100, 4)]] == "train").all()
    assert split.value_counts().to_dict() == {"train": 55, "test": 25, "validation": 10, "calibration": 10}
    assert split[texts == "train"].groupby(cluster).nunique().max() == 1


def test_clusters_that_another_split_has_are_taken_where_train_has_no_others() -> None:
    texts = pd.Series(["train", "test"] * 20)
    split = split_as_given(pd.Series([f"{number // 2}" for number in range(40)]), texts, fractions=FRACTIONS, seed=0)
    # of 40 images
    assert split.value_counts().to_dict() == {"test": 20, "train": 12, "validation": 4, "calibration": 4}
    assert (split[texts == "test"] == "test").all()


def test_what_is_made_of_train_depends_on_the_seed_and_not_on_the_order() -> None:
    texts = pd.Series(["train"] * 80 + ["test"] * 20)
    first, again, other = (split_as_given(names(100), texts, fractions=FRACTIONS, seed=seed) for seed in (0, 0, 1))
    assert first.equals(again)
    assert not first.equals(other)
    mixed = texts.sample(frac=1, random_state=1)
    assert split_as_given(names(100)[mixed.index], mixed, fractions=FRACTIONS, seed=0).sort_index().equals(first)


def test_few_added_images_move_few_old_ones() -> None:
    first, later = (
        split_as_given(names(count), pd.Series(["test", *["train"] * (count - 1)]), fractions=FRACTIONS, seed=0)
        for count in (400, 420)
    )
    # 420 images have 2 more in validation and 2 more in calibration; of the 42 of each about 2 are new.
    assert (first != later[:400]).sum() <= 10


def clean(*rows: tuple[str, str, str]) -> tuple[pd.DataFrame, pd.Series]:
    """Return images a, b, ... of given split, cluster and label, and their clusters."""
    table = pd.DataFrame(rows, columns=["given_split", "cluster", "label"])
    edges = {"xmin_px": 0, "ymin_px": 0, "xmax_px": 5, "ymax_px": 5, "width": 10, "height": 10}
    images = table.drop(columns="cluster").assign(**edges, image=[chr(97 + row) for row in range(len(rows))])
    return images, table["cluster"]


LEAKING = clean(
    *(("train", f"alone {number}", "cat") for number in range(9)),
    ("train", "both", "cat"),
    ("test", "both", "cat"),
    ("test", "both", "cat"),
    ("test", "alone", "cat"),
    ("train", "a valid one", "cat"),
    ("valid", "a valid one", "cat"),
    ("calibration", "whole", "cat"),
    *(("calibration", "whole", "cat") for _ in range(4)),
)


def leaking() -> pd.DataFrame:
    return split_images(*LEAKING, method="given", fractions=FRACTIONS, seed=0)


def test_a_leak_is_a_warning_with_the_number_of_test_images_like_training_ones() -> None:
    (text,) = split_warnings(leaking(), [], None)
    assert text == (
        "leak: expected each cluster in one split, got 2 in several (both in train, test; a valid one in train, "
        "validation); 2 of 3 test images have a near-duplicate, or an image of their group, in train, so the test "
        "metrics are better than on new images; see reports/split/clusters.csv, and correct the given splits, or set "
        "split.method: hash"
    )


def test_many_leaks_are_counted() -> None:
    rows = [(split, f"{number}", "cat") for number in range(5) for split in ("train", "valid")]
    rows += [("calibration", "c", "cat"), ("test", "t", "cat")]
    images = split_images(*clean(*rows), method="given", fractions=FRACTIONS, seed=0)
    (text,) = split_warnings(images, [], None)
    assert (
        "got 5 in several (0 in train, validation; 1 in train, validation; 2 in train, validation; and 2 more)" in text
    )
    assert "; 0 of 1 test images have a near-duplicate, or an image of their group, in train; see" in text


def test_given_splits_without_a_leak_are_not_compared_with_the_fractions() -> None:
    rows = [
        (split, f"{split} {number}", "cat") for split in ("train", "valid", "test", "calibration") for number in (1, 2)
    ]
    images = split_images(*clean(*rows), method="given", fractions=FRACTIONS, seed=0)
    assert split_warnings(images, [], None) == []
    assert any(text.startswith("train: expected 70% of the images") for text in split_warnings(images, [], FRACTIONS))


def test_leaks_are_in_the_metrics_and_first_in_the_table_and_the_report() -> None:
    images = leaking()
    warnings, table = split_warnings(images, [], None), cluster_table(images, [])
    metrics = split_metrics(images, [], warnings)
    assert (metrics["clusters_across_sides"], metrics["warnings"]) == (2, 1)
    assert table["cluster"].tolist() == ["both"] * 3 + ["a valid one"] * 2 + ["whole"] * 5
    assert table["split"].tolist()[:5] == ["train", "test", "test", "train", "validation"]
    text = render_report(metrics, table, warnings, sheets=None)
    assert "2 clusters cross splits: 3 of 2 or more images, 10 images in all." in text
    assert "### Cluster 1: 3 images, in test and train\n" in text
    assert "### Cluster 3: 5 images, all in calibration\n" in text
    assert "some across splits: 3" in render_terminal(metrics, warnings, report=METRICS)


def test_folds_of_given_splits_are_refused() -> None:
    values = {"method": "given", "seed": 0, "folds": 5, "fold": 0} | FRACTIONS
    with pytest.raises(ValueError, match=r"folds: expected 0 with method given, .* got 5; set split\.method to hash"):
        parse(SplitParams, values, where="params.yaml: split")
    assert parse(SplitParams, values | {"folds": 0}, where="params.yaml: split").method == "given"
