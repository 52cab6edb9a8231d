"""Splits: no copy in two splits, old images stay in theirs, and sizes spread evenly."""

import hashlib
from typing import Any

import numpy as np
import pandas as pd
import pytest

from localizer.config import parse
from localizer.splitting.assignment import (
    FOLDS,
    Fold,
    Method,
    box_share,
    check_clusters,
    fold_fractions,
    split_by_hash,
    split_images,
    split_stratified,
)
from localizer.tables import EDGES, SPLITS
from stages.split import SplitParams

FRACTIONS = dict(zip(SPLITS, (0.7, 0.1, 0.1, 0.1), strict=True))


def hashes(count: int) -> pd.Series:
    return pd.Series([hashlib.sha256(str(index).encode()).hexdigest() for index in range(count)])


def sizes(count: int) -> pd.Series:
    return pd.Series(np.random.default_rng(0).uniform(size=count))


def test_a_cluster_in_two_splits_is_named() -> None:
    cluster = pd.Series(["a", "b", "a", "c"])
    check_clusters(cluster, pd.Series(["train", "test", "train", "test"]))
    with pytest.raises(
        ValueError, match=r"^expected each cluster in one split, got 1 in several: a in test and train; report"
    ):
        check_clusters(cluster, pd.Series(["train", "test", "test", "test"]))


def test_adding_images_moves_no_old_one() -> None:
    few, many = hashes(500), hashes(800)
    before = split_by_hash(few, fractions=FRACTIONS, seed=0)
    after = split_by_hash(many, fractions=FRACTIONS, seed=0)
    assert after[:500].equals(before)


def test_the_order_of_images_moves_none() -> None:
    shuffled = hashes(500).sample(frac=1, random_state=1)
    split = split_by_hash(shuffled, fractions=FRACTIONS, seed=0)
    assert split.sort_index().equals(split_by_hash(hashes(500), fractions=FRACTIONS, seed=0))


def test_a_cluster_is_in_one_split() -> None:
    twice = pd.concat([hashes(300), hashes(300)], ignore_index=True)
    split = split_by_hash(twice, fractions=FRACTIONS, seed=0)
    assert split.groupby(twice).nunique().max() == 1


def test_a_clusters_split_never_changes() -> None:
    # blake2b(letter, digest_size=8, key=b"0") / 2**64 is 0.510, 0.955, 0.682, 0.870 and 0.771
    split = split_by_hash(pd.Series(list("abcfh")), fractions=FRACTIONS, seed=0)
    assert split.tolist() == ["train", "test", "train", "calibration", "validation"]


@pytest.mark.parametrize("fractions", [(0.7, 0.1, 0.1, 0.1), (0.5, 0.2, 0.05, 0.25), (0.8, 0.1, 0, 0.1)])
def test_shares_of_5000_images_are_near_the_fractions(fractions: tuple[float, ...]) -> None:
    split = split_by_hash(hashes(5000), fractions=dict(zip(SPLITS, fractions, strict=True)), seed=0)
    for name, fraction in zip(SPLITS, fractions, strict=True):
        # four standard deviations of a binomial share
        assert abs((split == name).mean() - fraction) <= 4 * (fraction * (1 - fraction) / 5000) ** 0.5


def test_another_seed_is_another_split() -> None:
    first, second = (split_by_hash(hashes(500), fractions=FRACTIONS, seed=seed) for seed in (0, 1))
    # Independent splits agree with probability 0.7^2 + 3 * 0.1^2 = 0.52.
    assert 0.4 < (first == second).mean() < 0.64


def test_a_larger_training_fraction_takes_images_only_from_its_neighbour() -> None:
    larger = dict(zip(SPLITS, (0.75, 0.05, 0.1, 0.1), strict=True))
    before = split_by_hash(hashes(500), fractions=FRACTIONS, seed=0)
    after = split_by_hash(hashes(500), fractions=larger, seed=0)
    moved = set(zip(before[before != after], after[before != after], strict=True))
    assert moved == {("validation", "train")}


def test_no_images_have_no_splits() -> None:
    assert split_by_hash(hashes(0), fractions=FRACTIONS, seed=0).empty


def stratified(cluster: pd.Series, share: pd.Series, seed: int = 0, **fractions: float) -> pd.Series:
    return split_stratified(cluster, share, fractions=FRACTIONS | fractions, seed=seed)


def test_stratified_keeps_a_cluster_whole() -> None:
    cluster = hashes(100).repeat(2).reset_index(drop=True)
    split = stratified(cluster, sizes(200))
    assert split.groupby(cluster).nunique().max() == 1
    assert set(split) == set(SPLITS)


def test_stratified_spreads_the_quartiles_of_box_size_evenly() -> None:
    share = sizes(400)
    quartile = pd.qcut(share, 4, labels=False)
    counts = pd.crosstab(stratified(hashes(400), share), quartile)
    # 400 images in 20 folds and 4 quartiles: five of each quartile per fold, 14, 2, 2 and 2 folds per split.
    assert counts.loc["train"].to_numpy().tolist() == [70] * 4
    assert counts.loc["test"].to_numpy().tolist() == [10] * 4


def test_hash_does_not_spread_them_so_evenly() -> None:
    quartile = pd.qcut(sizes(400), 4, labels=False)
    counts = pd.crosstab(split_by_hash(hashes(400), fractions=FRACTIONS, seed=0), quartile)
    assert len(set(counts.loc["test"])) > 1


def test_boxes_of_one_size_can_be_stratified() -> None:
    split = stratified(hashes(100), pd.Series([0.25] * 100))
    assert split.value_counts().to_dict() == {"train": 70, "validation": 10, "calibration": 10, "test": 10}


@pytest.mark.parametrize(
    ("fractions", "images"),
    [
        ((0.7, 0.1, 0.1, 0.1), (70, 10, 10, 10)),
        ((0.8, 0.2, 0, 0), (80, 20, 0, 0)),
        ((0.72, 0.1, 0.1, 0.08), (70, 10, 10, 10)),  # 14.4, 2, 2 and 1.6 folds: the largest remainder gets the last
        ((0.34, 0.33, 0.33, 0), (35, 35, 30, 0)),  # 6.8, 6.6 and 6.6
    ],
)
def test_fractions_are_rounded_to_twentieths(fractions: tuple[float, ...], images: tuple[int, ...]) -> None:
    shares: dict[str, Any] = dict(zip(SPLITS, fractions, strict=True))
    split = stratified(hashes(100), sizes(100), **shares)
    assert tuple(int((split == name).sum()) for name in SPLITS) == pytest.approx(images, abs=2)


def test_stratified_keeps_the_index_of_the_images() -> None:
    cluster = hashes(100).set_axis(range(1000, 1100))
    assert stratified(cluster, sizes(100).set_axis(cluster.index)).index.equals(cluster.index)


def test_stratified_is_the_same_for_a_seed_and_not_for_another() -> None:
    first, again, other = (stratified(hashes(100), sizes(100), seed=seed) for seed in (0, 0, 1))
    assert first.equals(again)
    assert not first.equals(other)


@pytest.mark.parametrize(("images", "different"), [(19, 19), (79, 79), (100, FOLDS - 1)])
def test_too_few_images_to_stratify_are_refused_with_a_fix(images: int, different: int) -> None:
    cluster = pd.Series(np.resize(hashes(different).to_numpy(), images))
    message = rf"expected 80 images in 20 clusters or more, got {images} in {different}; use hash"
    with pytest.raises(ValueError, match=message):
        stratified(cluster, sizes(images))


def test_the_fewest_images_that_can_be_stratified_give_every_split_its_share() -> None:
    assert stratified(hashes(80), sizes(80)).value_counts().to_dict() == {
        "train": 56,
        "validation": 8,
        "calibration": 8,
        "test": 8,
    }


def test_box_share_is_the_boxs_area_over_its_own_images() -> None:
    images = pd.DataFrame(
        {"xmin_px": [10, 0], "ymin_px": [20, 0], "xmax_px": [30, 50], "ymax_px": [70, 10]}
        | {"width": [100, 50], "height": [200, 10]}
    )
    assert box_share(images).tolist() == [20 * 50 / 20_000, 1]


def test_a_split_too_small_for_a_fold_is_named() -> None:
    with pytest.raises(ValueError, match="got none for calibration, test; raise"):
        stratified(hashes(400), sizes(400), train=0.94, validation=0.02, calibration=0.02, test=0.02)


def clustered(count: int = 300) -> tuple[pd.DataFrame, pd.Series]:
    """Images of 100 by 100 with boxes of any size, and their clusters: of every three images two are alike."""
    images = pd.DataFrame({"image": [f"{number}.png" for number in range(count)], "width": 100, "height": 100})
    images[EDGES] = [0, 0, 50, 50]
    images["xmax_px"] = 100 * sizes(count)
    return images, pd.Series(hashes(count).to_numpy()[np.arange(count) * 2 // 3])


def folded(number: int, count: int = 5, *, method: Method = "hash", images: int = 300, **fractions: float) -> pd.Series:
    """Return each image's split where a fold is the test split."""
    table, cluster = clustered(images)
    given = fold_fractions(FRACTIONS | fractions, count)
    done = split_images(table, cluster, method=method, fractions=given, seed=0, fold=Fold(number, count))
    return pd.Series(done["split"])


METHODS = pytest.mark.parametrize("method", ["hash", "stratified"])


@METHODS
@pytest.mark.parametrize("count", [2, 5, 7])
def test_every_image_is_tested_in_exactly_one_fold(method: Method, count: int) -> None:
    tested = np.array([folded(number, count, method=method) == "test" for number in range(count)])
    assert (tested.sum(axis=0) == 1).all()
    assert tested.any(axis=1).all()


@METHODS
def test_a_fold_is_made_of_whole_clusters_and_so_are_the_other_splits(method: Method) -> None:
    _, cluster = clustered()
    for number in range(5):
        assert folded(number, method=method).groupby(cluster).nunique().max() == 1


@METHODS
def test_the_rest_is_shared_out_by_the_other_fractions(method: Method) -> None:
    shares = folded(0, method=method, images=3000).value_counts(normalize=True)
    # 4/5 of the images, of which train has 7/9 and the others 1/9 each
    expected = {"train": 0.622, "validation": 0.089, "calibration": 0.089, "test": 0.2}
    assert shares.to_dict() == pytest.approx(expected, abs=0.03)


def test_without_folds_the_splits_are_those_of_before_folds_existed() -> None:
    table, cluster = clustered()
    done = split_images(table, cluster, method="hash", fractions=FRACTIONS, seed=0)
    # of version 0.1.0: upper bounds 0.7, 0.8, 0.9 and 1 of blake2b(cluster, digest_size=8, key=b"0") / 2**64
    numbers = [int.from_bytes(hashlib.blake2b(c.encode(), digest_size=8, key=b"0").digest(), "big") for c in cluster]
    expected = ["train" if n < 0.7 * 2**64 else SPLITS[1 + int((n / 2**64 - 0.7) * 10)] for n in numbers]
    assert done["split"].tolist() == expected


@pytest.mark.parametrize("method", ["hash", "stratified"])
def test_given_splits_change_no_other_methods_split(method: Method) -> None:
    table, cluster = clustered()
    given = table.assign(given_split=["train", "test", "fold 1"] * 100)
    without, done = (
        split_images(images, cluster, method=method, fractions=FRACTIONS, seed=0) for images in (table, given)
    )
    assert done.drop(columns="given_split").equals(without)


def test_adding_images_moves_no_old_one_to_another_fold_or_split() -> None:
    for number in range(3):
        before, after = (folded(number, 3, images=images) for images in (300, 600))
        assert after[:300].equals(before)


@METHODS
def test_the_splits_around_two_folds_are_independent_of_each_other(method: Method) -> None:
    first, second = (folded(number, method=method, images=3000) for number in (0, 1))
    rest = (first != "test") & (second != "test")
    both = ((first == "validation") & (second == "validation"))[rest].mean()
    assert both == pytest.approx((1 / 9) ** 2, abs=0.008)  # with one split for both it would be 1/9


def test_the_split_of_the_rest_does_not_depend_on_the_images_own_fold() -> None:
    around = folded(0, images=3000)
    for number in range(1, 5):
        of_fold = around[folded(number, images=3000) == "test"]
        assert (of_fold == "validation").mean() == pytest.approx(1 / 9, abs=0.05)


def test_stratified_folds_have_the_quartiles_of_box_size_evenly() -> None:
    table, _ = clustered(400)
    quartile = pd.qcut(box_share(table), 4, labels=False)
    counts = pd.crosstab(folded(0, method="stratified", images=400), quartile).loc["test"]
    assert counts.to_numpy() == pytest.approx([20] * 4, abs=3)


def test_a_split_without_a_fraction_stays_empty() -> None:
    assert set(folded(0, calibration=0, train=0.8)) == {"train", "validation", "test"}


def test_more_folds_than_clusters_are_refused() -> None:
    with pytest.raises(ValueError, match=r"split\.folds: expected at most as many as clusters, 8, got 9; set fewer"):
        folded(0, 9, images=12)


def test_a_fold_without_an_image_in_some_split_is_refused_with_a_fix() -> None:
    with pytest.raises(ValueError, match=r"none: 12 images in 8 clusters are too few; add images, set fewer than 5 "):
        [folded(number, 5, images=12) for number in range(5)]


def test_too_few_images_around_a_fold_to_stratify_are_refused() -> None:
    with pytest.raises(ValueError, match=r"split\.method stratified: expected 80 images in 20 clusters or more, got 6"):
        folded(0, method="stratified", images=80)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"folds": 1}, "folds: expected 2 or more, or 0 for none, got 1"),
        ({"folds": 5, "fold": 5}, "fold: expected 0 to 4, got 5; set split.folds to the number of folds"),
        ({"fold": 2}, "fold: expected 0 without folds, got 2; set split.folds to the number of folds"),
        ({"folds": -1}, r"split\.folds: input should be greater than or equal to 0, got -1"),
        ({"folds": 5, "fold": -1}, r"split\.fold: input should be greater than or equal to 0, got -1"),
    ],
)
def test_wrong_folds_are_refused(values: dict[str, int], message: str) -> None:
    given = {"method": "hash", "seed": 0, "folds": 0, "fold": 0} | FRACTIONS | values
    with pytest.raises(ValueError, match=message):
        parse(SplitParams, given, where="params.yaml: split")


def test_folds_give_the_fractions_of_the_splits() -> None:
    given = {"method": "hash", "seed": 0, "folds": 5, "fold": 4} | FRACTIONS
    params = parse(SplitParams, given, where="params.yaml: split")
    assert params.fractions == pytest.approx(
        {"train": 5.6 / 9, "validation": 0.8 / 9, "calibration": 0.8 / 9, "test": 0.2}
    )
    assert params.test_fold == Fold(4, 5)
