"""Groups of results that differ in their training seed only, and paired differences between groups."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from localizer.boxes import Array
from localizer.evaluation.intervals import LEVEL, Clusters, Estimate, mean, standard_error
from localizer.evaluation.slices import MIN_IMAGES
from localizer.tables import EDGES

SEED_PARAMS = ("train.seed",)
ROUNDING_GAIN = 1e-4  # of mean IoU: a smaller gain is within rounding
TOO_FEW, NO_DIFFERENCE = "too few images to tell", "no clear difference"


@dataclass(frozen=True)
class Result:
    """The evaluation of one run, DVC revision or experiment.

    params: by dotted name. images: its predictions, one row per image, or None if they are unavailable, for the reason
    `missing`; `digest` is of the image file, empty if unknown, and images of one `cluster` are not independent. commit:
    of the code; dirty: whether it had uncommitted changes; sources: digests of the code and data that it was made from,
    by path; each as far as known. stale: how params and sources differ from those at the commit, in words; empty if
    they don't.
    """

    name: str
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    images: pd.DataFrame | None = None
    commit: str = ""
    dirty: bool | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    missing: str = "its predictions are unavailable; `dvc pull`, or run it again"
    stale: str = ""

    @property
    def seeds(self) -> list[str]:
        """Return the values of SEED_PARAMS."""
        return [str(self.params.get(name, "")) for name in SEED_PARAMS]


@dataclass(frozen=True)
class Group:
    """Repeats of one training with different seeds."""

    results: tuple[Result, ...]

    @property
    def name(self) -> str:
        more = len(self.results) - 1
        return self.results[0].name + (f" and {more} more seed{'s' if more > 1 else ''}" if more else "")

    def metric(self, name: str) -> Array:
        """Return a metric of each repeat that has it."""
        return np.array([result.metrics[name] for result in self.results if name in result.metrics])

    def predictions(self) -> list[pd.DataFrame]:
        """Return the images of each repeat; ValueError if a repeat has none."""
        tables = []
        for result in self.results:
            if result.images is None:
                raise ValueError(f"{result.name}: {result.missing}")
            tables.append(result.images)
        return tables


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
    """Groups, and the difference of each but the first from it, or the reason why there is none."""

    groups: tuple[Group, ...]
    differences: tuple[PairedDifference | str, ...]


def compare(results: Sequence[Result]) -> Comparison:
    """Return the comparison of results with the first one's group."""
    first, *others = group_results(results)
    return Comparison((first, *others), tuple(_difference_or_reason(first, other) for other in others))


def group_results(results: Sequence[Result]) -> list[Group]:
    """Return the results grouped by equal params but SEED_PARAMS, code and data, in the order of first appearance.

    Results with equal seeds aren't repeats of one another. Nor are those of unknown sources, if the commit is unknown
    or was changed since.
    """
    groups: dict[str, list[Result]] = {}
    for number, result in enumerate(results):
        is_known = result.commit and not result.dirty
        sources = sorted(result.sources.items()) or (result.commit, None if is_known else number)
        params = sorted((name, str(value)) for name, value in result.params.items() if name not in SEED_PARAMS)
        key = repr((sources, params))
        if any(other.seeds == result.seeds for other in groups.get(key, [])):
            key += str(number)
        groups.setdefault(key, []).append(result)
    return [Group(tuple(repeats)) for repeats in groups.values()]


def paired_difference(first: Group, other: Group) -> PairedDifference:
    """Return the difference of `other` from `first`; ValueError if they share less than two independent images.

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
            f"{len(names[1])} are the same, with the same true box{copies}; compare runs on one data set and split"
        )
    ious_first, ious_other = ious[:, :seeds], ious[:, seeds:]
    images = images.assign(iou_first=ious_first.mean(axis=1), iou_other=ious_other.mean(axis=1))
    images["gain"] = images["iou_other"] - images["iou_first"]
    if len(tables) > 2:
        gain = paired_t_interval(ious_first, ious_other, clusters)
    else:
        gain = mean(images["gain"].to_numpy(), clusters=clusters)
    left_out = len((names[0] | names[1]) - {*images["image"]})
    return PairedDifference(first, other, gain, images, (ious_first, ious_other), clusters, left_out)


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


def differing_params(groups: Sequence[Group]) -> dict[str, list[str]]:
    """Return the params that differ between or within groups, each with its value or values in every group."""
    differing = {}
    for name in sorted({name for group in groups for result in group.results for name in result.params}):
        values = [list(dict.fromkeys(str(result.params.get(name, "")) for result in group.results)) for group in groups]
        if len({value for in_group in values for value in in_group}) > 1:
            differing[name] = [", ".join(in_group) for in_group in values]
    return differing


def differing_sources(first: Group, other: Group) -> list[str] | None:
    """Return the paths of code and data that differ between the groups; None if unknown."""
    old, new = first.results[0].sources, other.results[0].sources
    return sorted(path for path in {*old, *new} if old.get(path) != new.get(path)) if old and new else None


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


def _difference_or_reason(first: Group, other: Group) -> PairedDifference | str:
    try:
        return paired_difference(first, other)
    except ValueError as error:
        return str(error)
