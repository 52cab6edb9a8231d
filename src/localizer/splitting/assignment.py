"""Assignment of images to train, validation, calibration and test; near-duplicates stay together, unless given apart.

For cross-validation, one of several folds is the test split, and the others are shared out by the fractions.
"""

import hashlib
from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from localizer.splitting.given import parse_given_splits
from localizer.tables import SPLITS

FOLDS = 20  # of the stratified method, which rounds fractions to twentieths
SIZE_CLASSES = 4  # quartiles of the box's share of the image

Fractions = Mapping[str, float]
Method = Literal["hash", "stratified", "given"]


class Fold(NamedTuple):
    """One of `folds` >= 2 parts of the images, numbered from 0: the one that is the test split."""

    number: int
    folds: int


def split_images(
    images: pd.DataFrame,
    cluster: pd.Series,
    *,
    method: Method,
    fractions: Fractions,
    seed: int,
    fold: Fold | None = None,
) -> pd.DataFrame:
    """Return the images with their cluster, split and box share; ValueError if a split gets no image.

    With a fold, see `fold_fractions`; method `given` has none. It alone may give a cluster several splits.
    """
    share = box_share(images)
    if fold:
        split = _split_around_fold(cluster, share, fold, method=method, fractions=fractions, seed=seed)
    elif method == "hash":
        split = split_by_hash(cluster, fractions=fractions, seed=seed)
    elif method == "given":
        split = split_as_given(cluster, images["given_split"], fractions=fractions, seed=seed)
    else:
        split = split_stratified(cluster, share, fractions=fractions, seed=seed)
    if method != "given":
        check_clusters(cluster, split)
    _check_not_empty(cluster, split, fractions, fold)
    return images.assign(cluster=cluster, split=split, box_share=share)


def fold_fractions(fractions: Fractions, count: int) -> dict[str, float]:
    """Return the fractions with one of `count` folds as the test split, and the rest in the proportions of before."""
    rest = (1 - 1 / count) / sum(fractions[name] for name in SPLITS if name != "test")
    return {name: 1 / count if name == "test" else fractions[name] * rest for name in SPLITS}


def split_by_hash(cluster: pd.Series, *, fractions: Fractions, seed: int, purpose: str = "") -> pd.Series:
    """Return each image's split from a keyed hash of its cluster; adding images moves none of other clusters.

    Splits of different purposes are independent of each other.
    """
    names = [name for name in SPLITS if fractions[name]]
    upper_bounds = np.cumsum([fractions[name] for name in names])
    hashes = [_unit_hash(name, seed, purpose) for name in cluster]
    index = np.searchsorted(upper_bounds, hashes, side="right")
    return pd.Series(np.array(names)[np.minimum(index, len(names) - 1)], index=cluster.index)


def split_stratified(cluster: pd.Series, box_share: pd.Series, *, fractions: Fractions, seed: int) -> pd.Series:
    """Return each image's split, with the quartiles of box size spread evenly over the splits.

    Each split gets some of the FOLDS folds of scikit-learn's StratifiedGroupKFold; adding images may move others.
    Raises ValueError for fewer images than folds per quartile, or fewer clusters than folds.
    """
    split_of_fold = np.repeat(SPLITS, _folds_per_split(fractions))
    folds = _stratified_folds(cluster, box_share, FOLDS, seed=seed)
    return pd.Series(split_of_fold[folds], index=cluster.index)


def split_as_given(cluster: pd.Series, given: "pd.Series[str]", *, fractions: Fractions, seed: int) -> "pd.Series[str]":
    """Return each image's split as its file gives it; see `parse_given_splits` for its errors.

    An image that is given none follows its cluster, to train before other splits, else it is assigned by hash. If no
    image is given as validation, or as calibration, clusters of train become that split, by hash, until its fraction of
    all images is reached.
    """
    named = parse_given_splits(given)
    split = named.where(named != "", _split_of_cluster(cluster, named))
    by_hash = split_by_hash(cluster[split == ""], fractions=fractions, seed=seed)
    split = split.mask(split == "", by_hash)
    for name in ("validation", "calibration"):
        if fractions[name] and not (named == name).any():
            count = max(1, round(fractions[name] * len(split))) - int((split == name).sum())
            split = split.mask(_part_of_train(cluster, split, count, seed=seed, purpose=f"given {name}"), name)
    return split


def _split_of_cluster(cluster: pd.Series, named: "pd.Series[str]") -> "pd.Series[str]":
    """Return the first, in the order of SPLITS, of the splits that a cluster's images are given; empty without one."""
    first = named[named != ""].map(SPLITS.index).groupby(cluster).min()
    return cluster.map(first).map(dict(enumerate(SPLITS))).fillna("")


def _part_of_train(
    cluster: pd.Series, split: "pd.Series[str]", count: int, *, seed: int, purpose: str
) -> "pd.Series[bool]":
    """Return which images to take from train: at most `count`, all of a cluster, clusters with other splits last."""
    in_train = split == "train"
    crossing = set(cluster[~in_train])
    sizes = cluster[in_train].value_counts()
    sizes = sizes[sizes <= count]
    in_order = sorted(sizes.index, key=lambda name: (name in crossing, _unit_hash(name, seed, purpose)))
    taken = sizes[in_order].cumsum() <= count
    return in_train & cluster.isin(taken.index[taken])


def _split_around_fold(
    cluster: pd.Series, box_share: pd.Series, fold: Fold, *, method: Method, fractions: Fractions, seed: int
) -> pd.Series:
    """Return each image's split: test in this fold, and the others as without folds, independent of the folds."""
    if fold.folds > cluster.nunique():
        raise ValueError(
            f"split.folds: expected at most as many as clusters, {cluster.nunique()}, got {fold.folds}; set fewer"
        )
    rest_fractions = {name: 0.0 if name == "test" else fractions[name] for name in SPLITS}
    rest_fractions = {name: value / sum(rest_fractions.values()) for name, value in rest_fractions.items()}
    purpose = f"around fold {fold.number}"
    if method == "hash":
        folds = np.array([int(_unit_hash(name, seed, "fold") * fold.folds) for name in cluster])
        rest = cluster[folds != fold.number]
        others = split_by_hash(rest, fractions=rest_fractions, seed=seed, purpose=purpose)
    else:
        folds = _stratified_folds(cluster, box_share, fold.folds, seed=seed)
        rest, seed = cluster[folds != fold.number], int(_unit_hash("", seed, purpose) * 2**32)
        others = split_stratified(rest, box_share[rest.index], fractions=rest_fractions, seed=seed)
    return others.reindex(cluster.index, fill_value="test")


def _stratified_folds(cluster: pd.Series, box_share: pd.Series, count: int, *, seed: int) -> NDArray[np.int64]:
    """Return each image's fold, from 0, with clusters whole and the quartiles of box size spread evenly."""
    from sklearn.model_selection import StratifiedGroupKFold  # two seconds, not needed for `hash`

    if cluster.nunique() < count or len(cluster) < count * SIZE_CLASSES:
        raise ValueError(
            f"split.method stratified: expected {count * SIZE_CLASSES} images in {count} clusters or more, got "
            f"{len(cluster)} in {cluster.nunique()}; use hash"
        )
    size_class = pd.qcut(box_share.rank(method="first"), SIZE_CLASSES, labels=False)
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    folds = np.zeros(len(cluster), dtype=np.int64)
    for number, (_, rows) in enumerate(splitter.split(cluster, size_class, cluster)):
        folds[rows] = number
    return folds


def check_clusters(cluster: pd.Series, split: pd.Series) -> None:
    """Raise ValueError that names clusters with images in several splits, if any: a bug of the split method."""
    pairs = pd.DataFrame({"cluster": cluster.array, "split": split.array}).drop_duplicates()
    crossing = pairs[pairs["cluster"].duplicated(keep=False)].groupby("cluster")["split"].unique()
    if len(crossing):
        first = "; ".join(f"{name} in {' and '.join(sorted(splits))}" for name, splits in crossing.head(10).items())
        raise ValueError(
            f"expected each cluster in one split, got {len(crossing)} in several: {first}; report this bug"
        )


def _check_not_empty(cluster: pd.Series, split: pd.Series, fractions: Fractions, fold: Fold | None) -> None:
    empty = [name for name in SPLITS if fractions[name] and name not in set(split)]
    if empty:
        fewer = f"set fewer than {fold.folds} split.folds, " if fold else ""
        raise ValueError(
            f"{', '.join(empty)}: expected an image or more, got none: {len(cluster)} images in {cluster.nunique()} "
            f"clusters are too few; add images, {fewer}raise that fraction, or set split.method: stratified in "
            "params.yaml"
        )


def box_share(images: pd.DataFrame) -> pd.Series:
    """Return each box's area as a share, in [0, 1], of its image's area."""
    box_area = (images["xmax_px"] - images["xmin_px"]) * (images["ymax_px"] - images["ymin_px"])
    return box_area / (images["width"] * images["height"])


def _unit_hash(name: str, seed: int, purpose: str = "") -> float:
    """Return a number in [0, 1); those of different purposes are independent."""
    digest = hashlib.blake2b(name.encode(), digest_size=8, key=f"{seed}{purpose}".encode()).digest()
    return int.from_bytes(digest, "big") / 2**64


def _folds_per_split(fractions: Fractions) -> list[int]:
    """Return the number of folds per split, by the largest remainder method.

    Raises ValueError where a split with a fraction gets no fold.
    """
    exact = np.array([fractions[name] * FOLDS for name in SPLITS])
    counts = np.floor(exact + 1e-9).astype(int)
    for index in np.argsort(counts - exact, kind="stable")[: FOLDS - counts.sum()]:
        counts[index] += 1
    none = [name for name, count in zip(SPLITS, counts, strict=True) if fractions[name] and not count]
    if none:
        raise ValueError(
            f"split.method stratified: expected one of {FOLDS} folds or more per split, got none for "
            f"{', '.join(none)}; raise their fractions, or use hash"
        )
    return counts.tolist()
