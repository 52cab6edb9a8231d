"""Assignment of images to train, validation, calibration and test; near-duplicates stay together."""

import hashlib
from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd

from localizer.tables import SPLITS

FOLDS = 20  # of the stratified method, which rounds fractions to twentieths
SIZE_CLASSES = 4  # quartiles of the box's share of the image

Fractions = Mapping[str, float]
Method = Literal["hash", "stratified"]


def split_images(
    images: pd.DataFrame, cluster: pd.Series, *, method: Method, fractions: Fractions, seed: int
) -> pd.DataFrame:
    """Return the images with their cluster, split and box share; ValueError if a split gets no image."""
    share = box_share(images)
    if method == "hash":
        split = split_by_hash(cluster, fractions=fractions, seed=seed)
    else:
        split = split_stratified(cluster, share, fractions=fractions, seed=seed)
    check_clusters(cluster, split)
    empty = [name for name in SPLITS if fractions[name] and name not in set(split)]
    if empty:
        raise ValueError(
            f"{', '.join(empty)}: expected an image or more, got none: {len(images)} images in {cluster.nunique()} "
            "clusters are too few; add images, raise that fraction, or set split.method: stratified in params.yaml"
        )
    return images.assign(cluster=cluster, split=split, box_share=share)


def split_by_hash(cluster: pd.Series, *, fractions: Fractions, seed: int) -> pd.Series:
    """Return each image's split from a keyed hash of its cluster; adding images moves none of other clusters."""
    upper_bounds = np.cumsum([fractions[name] for name in SPLITS])
    index = np.searchsorted(upper_bounds, [_unit_hash(name, seed) for name in cluster], side="right")
    return pd.Series(np.array(SPLITS)[np.minimum(index, len(SPLITS) - 1)], index=cluster.index)


def split_stratified(cluster: pd.Series, box_share: pd.Series, *, fractions: Fractions, seed: int) -> pd.Series:
    """Return each image's split, with the quartiles of box size spread evenly over the splits.

    Each split gets some of the FOLDS folds of scikit-learn's StratifiedGroupKFold; adding images may move others.
    Raises ValueError for fewer images than folds per quartile, or fewer clusters than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # two seconds, not needed for `hash`

    if cluster.nunique() < FOLDS or len(cluster) < FOLDS * SIZE_CLASSES:
        raise ValueError(
            f"split.method stratified: expected {FOLDS * SIZE_CLASSES} images in {FOLDS} clusters or more, got "
            f"{len(cluster)} in {cluster.nunique()}; use hash"
        )
    size_class = pd.qcut(box_share.rank(method="first"), SIZE_CLASSES, labels=False)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    split_of_fold = np.repeat(SPLITS, _folds_per_split(fractions))
    splits = pd.Series("", index=cluster.index)
    for split, (_, rows) in zip(split_of_fold, folds.split(cluster, size_class, cluster), strict=True):
        splits.iloc[rows] = split
    return splits


def check_clusters(cluster: pd.Series, split: pd.Series) -> None:
    """Raise ValueError that names clusters with images in several splits, if any: a bug of the split method."""
    pairs = pd.DataFrame({"cluster": cluster.array, "split": split.array}).drop_duplicates()
    crossing = pairs[pairs["cluster"].duplicated(keep=False)].groupby("cluster")["split"].unique()
    if len(crossing):
        first = "; ".join(f"{name} in {' and '.join(sorted(splits))}" for name, splits in crossing.head(10).items())
        raise ValueError(
            f"expected each cluster in one split, got {len(crossing)} in several: {first}; report this bug"
        )


def box_share(images: pd.DataFrame) -> pd.Series:
    """Return each box's area as a share, in [0, 1], of its image's area."""
    box_area = (images["xmax_px"] - images["xmin_px"]) * (images["ymax_px"] - images["ymin_px"])
    return box_area / (images["width"] * images["height"])


def _unit_hash(name: str, seed: int) -> float:
    digest = hashlib.blake2b(name.encode(), digest_size=8, key=str(seed).encode()).digest()
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
