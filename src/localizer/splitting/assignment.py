"""Splitting images into train, validation, calibration and test, without a copy on two sides."""

import hashlib
from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd

from localizer.tables import SPLITS

FOLDS = 20  # of the stratified method: its fractions are rounded to twentieths
SIZE_CLASSES = 4  # quartiles of the box's share of the image

Fractions = Mapping[str, float]
Method = Literal["hash", "stratified"]


def split_images(
    images: pd.DataFrame, cluster: pd.Series, *, method: Method, fractions: Fractions, seed: int
) -> pd.DataFrame:
    """Return the images with their cluster, side and box share; ValueError if a side stays empty."""
    share = box_share(images)
    if method == "hash":
        side = split_by_hash(cluster, fractions=fractions, seed=seed)
    else:
        side = split_stratified(cluster, share, fractions=fractions, seed=seed)
    check_whole(cluster, side)
    empty = [name for name in SPLITS if fractions[name] and name not in set(side)]
    if empty:
        raise ValueError(
            f"no image fell to {', '.join(empty)}: {len(images)} images in {cluster.nunique()} clusters are too few; "
            "add images, raise that fraction, or set split.method: stratified in params.yaml"
        )
    return images.assign(cluster=cluster, side=side, box_share=share)


def split_by_hash(cluster: pd.Series, *, fractions: Fractions, seed: int) -> pd.Series:
    """Return each image's side from a keyed hash of its cluster alone: images of other clusters can't move it."""
    edges = np.cumsum([fractions[side] for side in SPLITS])
    places = np.searchsorted(edges, [_unit_hash(name, seed) for name in cluster], side="right")
    return pd.Series(np.array(SPLITS)[np.minimum(places, len(SPLITS) - 1)], index=cluster.index)


def split_stratified(cluster: pd.Series, box_share: pd.Series, *, fractions: Fractions, seed: int) -> pd.Series:
    """Return each image's side, the quartiles of box size being spread evenly over the sides.

    scikit-learn's StratifiedGroupKFold makes FOLDS folds, which the sides share out; adding images may
    move others. Raises ValueError where a quartile has fewer images than folds, or there are fewer clusters.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # two seconds, which `hash` needn't pay

    if cluster.nunique() < FOLDS or len(cluster) < FOLDS * SIZE_CLASSES:
        raise ValueError(
            f"stratified wants {FOLDS * SIZE_CLASSES} images or more, {FOLDS} of them different; "
            f"got {len(cluster)}, {cluster.nunique()} of them different; use hash"
        )
    size_class = pd.qcut(box_share.rank(method="first"), SIZE_CLASSES, labels=False)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    side_of_fold = np.repeat(SPLITS, _folds_per_side(fractions))
    sides = pd.Series("", index=cluster.index)
    for side, (_, rows) in zip(side_of_fold, folds.split(cluster, size_class, cluster), strict=True):
        sides.iloc[rows] = side
    return sides


def check_whole(cluster: pd.Series, side: pd.Series) -> None:
    """Raise ValueError that names the clusters with images on several sides, if there are."""
    pairs = pd.DataFrame({"cluster": cluster.array, "split": side.array}).drop_duplicates()
    crossing = pairs[pairs["cluster"].duplicated(keep=False)].groupby("cluster")["split"].unique()
    if len(crossing):
        told = "; ".join(f"{name} in {' and '.join(sorted(sides))}" for name, sides in crossing.head(10).items())
        raise ValueError(f"{len(crossing)} clusters are on several sides: {told}; this is a fault of the split itself")


def box_share(images: pd.DataFrame) -> pd.Series:
    """Return each box's area as a share, in [0, 1], of its image's area."""
    sides = (images["xmax_px"] - images["xmin_px"]) * (images["ymax_px"] - images["ymin_px"])
    return sides / (images["width"] * images["height"])


def _unit_hash(name: str, seed: int) -> float:
    digest = hashlib.blake2b(name.encode(), digest_size=8, key=str(seed).encode()).digest()
    return int.from_bytes(digest, "big") / 2**64


def _folds_per_side(fractions: Fractions) -> list[int]:
    """Return how many folds each side gets: the largest remainders take those that rounding down leaves.

    Raises ValueError where a side that shall get images gets no fold.
    """
    exact = np.array([fractions[side] * FOLDS for side in SPLITS])
    counts = np.floor(exact + 1e-9).astype(int)
    for index in np.argsort(counts - exact, kind="stable")[: FOLDS - counts.sum()]:
        counts[index] += 1
    none = [side for side, count in zip(SPLITS, counts, strict=True) if fractions[side] and not count]
    if none:
        raise ValueError(f"stratified works in {FOLDS}ths: {', '.join(none)} would get none; use more, or method hash")
    return [int(count) for count in counts]
