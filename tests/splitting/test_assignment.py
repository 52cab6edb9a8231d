"""Splits: no copy in two splits, old images stay in theirs, and sizes spread evenly."""

import hashlib
from typing import Any

import numpy as np
import pandas as pd
import pytest

from localizer.splitting.assignment import FOLDS, box_share, check_clusters, split_by_hash, split_stratified
from localizer.tables import SPLITS

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
