"""Paired differences between groups of results, on the test images that both have."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from string import ascii_uppercase

import numpy as np
import pandas as pd
from scipy import stats

from localizer.boxes import Array
from localizer.comparison.groups import Group, Result, group_results
from localizer.evaluation.intervals import LEVEL, Clusters, Estimate, mean, standard_error
from localizer.evaluation.slices import MIN_IMAGES
from localizer.tables import EDGES

ROUNDING_GAIN = 1e-4  # of mean IoU: a smaller gain is within rounding
TOO_FEW, NO_DIFFERENCE = "too few images to tell", "no clear difference"


@dataclass(frozen=True)
class PairedDifference:
    """The difference between two groups on test images that both have with the same file and true box.

    gain: in mean IoU of `other` over `first`, paired by image. images: N rows of image, label, width, height, EDGES,
    iou_first, iou_other, gain. ious: [N, repeats] of first and other. clusters: [N], equal for images that are not
    independent. left_out: number of images that either group lacks, or has with another file or true box.
    """

    first: Group
    other: Group
    gain: Estimate
    images: pd.DataFrame = field(repr=False)
    ious: tuple[Array, Array] = field(repr=False)
    clusters: Clusters = field(repr=False)
    left_out: int

    @property
    def outcome(self) -> str:
        """Return the conclusion from the gain."""
        return TOO_FEW if self.independent < MIN_IMAGES else outcome(self.gain)

    @property
    def independent(self) -> int:
        """Return the number of clusters of images."""
        return len(np.unique(self.clusters))

    @property
    def seeds(self) -> tuple[int, int]:
        """Return the numbers of repeats of first and other."""
        return len(self.first.results), len(self.other.results)

    @property
    def is_over_seeds(self) -> bool:
        """Return whether the interval covers the variation between seeds, not only between images."""
        return max(self.seeds) > 1

    def extremes(self, sign: int, *, count: int) -> pd.DataFrame:
        """Return the `count` rows of `images` with the largest gains, or for the sign -1 the largest losses."""
        chosen = self.images[np.sign(self.images["gain"]) == sign]
        return chosen.sort_values(["gain", "image"], ascending=[sign < 0, True], kind="stable").head(count)


@dataclass(frozen=True)
class Comparison:
    """Groups by letter, and the difference of each from the first, A, or the reason why there is none."""

    groups: Mapping[str, Group]
    differences: Mapping[str, PairedDifference | str]

    @property
    def known_differences(self) -> dict[str, PairedDifference]:
        pairs = self.differences.items()
        return {letter: difference for letter, difference in pairs if isinstance(difference, PairedDifference)}


def compare(results: Sequence[Result]) -> Comparison:
    """Return the comparison of results with the first one's group; ValueError for more groups than letters."""
    groups = group_results(results)
    if len(groups) > len(ascii_uppercase):
        raise ValueError(f"expected {len(ascii_uppercase)} different results at most, got {len(groups)}")
    by_letter = dict(zip(ascii_uppercase, groups, strict=False))
    differences: dict[str, PairedDifference | str] = {}
    for letter, group in [*by_letter.items()][1:]:
        try:
            differences[letter] = paired_difference(groups[0], group)
        except ValueError as error:
            differences[letter] = str(error)
    return Comparison(by_letter, differences)


def paired_difference(first: Group, other: Group) -> PairedDifference:
    """Return the difference of `other` from `first`; ValueError if they share less than two independent images.

    A test split isn't compared with pooled folds, unless they have the same images: the pooled result is of all.
    With several seeds of either, the interval is over images and seeds (`paired_t_interval`), else over images.
    """
    tables = [*first.predictions(), *other.predictions()]
    images, ious, clusters = _paired(tables)
    seeds = len(first.results)
    names = [{name for table in part for name in table["image"]} for part in (tables[:seeds], tables[seeds:])]
    if len(np.unique(clusters)) < 2:
        copies = ", all of one cluster" if len(images) > 1 else ""
        raise ValueError(
            f"{first.name} and {other.name} were tested on different images: {len(images)} of {len(names[0])} and "
            f"{len(names[1])} are the same, with the same ground truth{copies}; compare runs on one data set and split"
        )
    ious_first, ious_other = ious[:, :seeds], ious[:, seeds:]
    images = images.assign(iou_first=ious_first.mean(axis=1), iou_other=ious_other.mean(axis=1))
    images["gain"] = images["iou_other"] - images["iou_first"]
    if len(tables) > 2:
        gain = paired_t_interval(ious_first, ious_other, clusters)
    else:
        gain = mean(images["gain"].to_numpy(), clusters=clusters)
    left_out = len((names[0] | names[1]) - {*images["image"]})
    _check_folds(first, other, left_out)
    return PairedDifference(first, other, gain, images, (ious_first, ious_other), clusters, left_out)


def _check_folds(first: Group, other: Group, left_out: int) -> None:
    """Raise ValueError if one group's results are pooled folds, the other's are not, and their images differ."""
    pooled, single = sorted((first, other), key=lambda group: -group.results[0].folds)
    if left_out and pooled.results[0].folds and not single.results[0].folds:
        raise ValueError(
            f"{pooled.name} pools {pooled.results[0].folds} folds and {single.name} is of one test split: {left_out} "
            "images are in only one of them; compare it with the folds of the other recipe, `localizer cross-validate`"
        )


def paired_t_interval(first: Array, other: Array, clusters: Clusters, *, level: float = LEVEL) -> Estimate:
    """Return the mean gain of IoUs `other` [N, repeats] over `first`, with Student's t interval over clusters [N].

    With repeats, the variances between images and between seeds are added, with Satterthwaite's degrees of freedom
    (1946, doi:10.2307/3002019).
    """
    gains = other.mean(axis=1) - first.mean(axis=1)
    error, count = standard_error(gains, clusters)
    variances = [(error**2, count - 1), *_seed_variances(first, other)]
    value, total = float(gains.mean()), sum(variance for variance, _ in variances)
    if not total:
        return Estimate(value, value, value)
    freedom = 1 / sum((variance / total) ** 2 / degrees for variance, degrees in variances)
    half = float(stats.t.ppf((1 + level) / 2, freedom)) * total**0.5
    return Estimate(value, value - half, value + half)


def outcome(gain: Estimate) -> str:
    """Return the conclusion from the interval of a gain."""
    if abs(gain.value) < ROUNDING_GAIN:
        return NO_DIFFERENCE
    return "better" if gain.low > 0 else "worse" if gain.high < 0 else NO_DIFFERENCE


def _paired(tables: Sequence[pd.DataFrame]) -> tuple[pd.DataFrame, Array, Clusters]:
    """Return the rows of the first table that all others have, their IoUs [N, tables], and their clusters [N].

    Rows match with equal image and true box, and equal digests of the file, where known. Of several clusterings the
    coarsest is used, as tables of older versions have none.
    """
    keyed = [table.set_index(["image", *EDGES]) for table in tables]
    ious, digests, clusters = (
        pd.concat([table[name] for table in keyed], axis=1, join="inner") for name in ("iou", "digest", "cluster")
    )
    known = digests.to_numpy(dtype=object)
    same = ((known == known.max(axis=1, keepdims=True)) | (known == "")).all(axis=1)
    coarsest = min(clusters[same].to_numpy().T, key=lambda codes: len(np.unique(codes)))
    images = keyed[0].loc[ious.index[same]].reset_index()
    return images.drop(columns=["iou", "digest", "cluster"]), ious[same].to_numpy(), coarsest


def _seed_variances(first: Array, other: Array) -> Iterator[tuple[float, int]]:
    """Yield the variances that seeds add to the difference of mean IoUs, with their degrees of freedom.

    If only one group has repeats, its variance is used for both.
    """
    for ious, rival in ((first, other), (other, first)):
        count = ious.shape[1]
        if count > 1:
            weight = 1 / count + (1 if rival.shape[1] == 1 else 0)
            yield float(ious.mean(axis=0).var(ddof=1)) * weight, count - 1
