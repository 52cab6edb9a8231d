"""Comparing results: runs that differ in their seeds alone are one group, and groups are compared image by image."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from localizer.boxes import Array
from localizer.evaluation.intervals import LEVEL, Estimate, mean, standard_error
from localizer.evaluation.slices import FEW
from localizer.tables import EDGES

SEEDS = ("train.seed",)  # parameters of which repeats of one training differ
TIE = 1e-4  # of mean IoU: a smaller gain is one of rounding
TOO_FEW, TIED = "too few images to tell", "no clear difference"


@dataclass(frozen=True)
class Result:
    """What one run, DVC revision or experiment left.

    params: by dotted name. metrics: of evaluate. images: its predictions, a row an image, or None where they can't
    be had, and then `absent` says why and what to do; `digest` is of an image's file, empty where it isn't known, and
    images of one `cluster` are not independent. commit: of the code; dirty: whether it was changed; sources: the
    digests, by path, of all code and data that it was made from; each as far as it is known. stale: in words, which of
    these are no longer those of the commit; empty where all are.
    """

    name: str
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    images: pd.DataFrame | None = None
    commit: str = ""
    dirty: bool | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    absent: str = "its predictions can't be had here; `dvc pull`, or run it again"
    stale: str = ""


@dataclass(frozen=True)
class Group:
    """Repeats of one training over seeds; `name` is the first one's, with the count behind it if there are several."""

    results: tuple[Result, ...]

    @property
    def name(self) -> str:
        more = len(self.results) - 1
        return self.results[0].name + (f" and {more} more seed{'s' if more > 1 else ''}" if more else "")

    def metric(self, name: str) -> Array:
        """Return a metric of each repeat that has it."""
        return np.array([one.metrics[name] for one in self.results if name in one.metrics])

    def tables(self) -> list[pd.DataFrame]:
        """Return the images of each repeat; ValueError where a repeat has no predictions."""
        if lacking := [one for one in self.results if one.images is None]:
            raise ValueError(f"{lacking[0].name}: {lacking[0].absent}")
        return [one.images for one in self.results if one.images is not None]

    def names(self) -> set[str]:
        """Return the images that any of the repeats has."""
        return {name for one in self.results if one.images is not None for name in one.images["image"]}


@dataclass(frozen=True)
class Difference:
    """Another group against the first on the test images that both have with the same file and true box.

    gain: of mean IoU, positive where the other is better, paired by image. images: N rows of image, label, width,
    height, EDGES, iou_first, iou_other, gain. ious: [N, repeats] of the first and of the other. clusters: [N], the same
    number where images are not independent. left_out: images of either that the other lacks, or has with another file
    or true box.
    """

    first: Group
    other: Group
    gain: Estimate
    images: pd.DataFrame = field(repr=False)
    ious: tuple[Array, Array] = field(repr=False)
    clusters: NDArray[np.intp] = field(repr=False)
    left_out: int

    @property
    def verdict(self) -> str:
        """Return in a few words what the interval tells."""
        return TOO_FEW if self.independent < FEW else verdict(self.gain)

    @property
    def independent(self) -> int:
        """Return the number of clusters of images."""
        return len(np.unique(self.clusters))

    @property
    def repeats(self) -> tuple[int, int]:
        """Return how many seeds the first and the other have."""
        return len(self.first.results), len(self.other.results)

    def extreme(self, sign: int, *, count: int) -> pd.DataFrame:
        """Return the rows of `images` that gained most, or for the sign -1 lost most; none that did neither."""
        chosen = self.images[np.sign(self.images["gain"]) == sign]
        return chosen.sort_values(["gain", "image"], ascending=[sign < 0, True], kind="stable").head(count)


@dataclass(frozen=True)
class Comparison:
    """Groups, and how each but the first differs from it; where that can't be told, the reason why."""

    groups: tuple[Group, ...]
    differences: tuple[Difference | str, ...]


def compare(results: Sequence[Result]) -> Comparison:
    """Return the comparison of results with the first one's group."""
    groups = grouped(results)
    return Comparison(tuple(groups), tuple(_difference_or_reason(groups[0], other) for other in groups[1:]))


def grouped(results: Sequence[Result]) -> list[Group]:
    """Return the results in groups whose params, code and data are equal but for SEEDS, in the order of their firsts.

    The same result twice, with the same seeds too, stays apart; so does one whose commit is all that is known of its
    code, and that had changed since, or of which nothing is known.
    """
    groups: dict[str, list[Result]] = {}
    for number, one in enumerate(results):
        made_from = repr(sorted(one.sources.items()) or (one.commit, number if one.dirty or not one.commit else None))
        key = repr((made_from, sorted((name, str(one.params[name])) for name in {*one.params} - {*SEEDS})))
        seeds = [_seeds(other) for other in groups.get(key, [])]
        groups.setdefault(f"{key}{number}" if _seeds(one) in seeds else key, []).append(one)
    return [Group(tuple(some)) for some in groups.values()]


def difference(first: Group, other: Group) -> Difference:
    """Return how the other group differs from the first; ValueError where they share no two independent images.

    Where one of them has several seeds, the interval is over images and seeds (`students`), else over images.
    """
    images, ious, clusters = _paired([*first.tables(), *other.tables()])
    if len(np.unique(clusters)) < 2:
        copies = ", all of one cluster" if len(images) > 1 else ""
        raise ValueError(
            f"{first.name} and {other.name} were tested on other images: {len(images)} of {len(first.names())} and "
            f"{len(other.names())} are the same, with the same true box{copies}; compare runs on one data set and split"
        )
    count = len(first.results)
    one, two = ious[:, :count], ious[:, count:]
    images = images.assign(iou_first=one.mean(axis=1), iou_other=two.mean(axis=1))
    images["gain"] = images["iou_other"] - images["iou_first"]
    repeated = ious.shape[1] > 2
    gain = students(one, two, clusters) if repeated else mean(images["gain"].to_numpy(), clusters=clusters)
    left_out = len((first.names() | other.names()) - {*images["image"]})
    return Difference(first, other, gain, images, (one, two), clusters, left_out)


def students(one: Array, two: Array, clusters: NDArray[np.intp], *, level: float = LEVEL) -> Estimate:
    """Return the mean gain of IoUs `two` [N, repeats] over `one`, with Student's interval over clusters of images [N].

    Where one of them has repeats, the interval is over seeds, too: the variances of images and of seeds are added, with
    the degrees of freedom of Satterthwaite (1946, doi:10.2307/3002019).
    """
    gains = two.mean(axis=1) - one.mean(axis=1)
    error, count = standard_error(gains, clusters)
    parts = [(error**2, count - 1), *_of_seeds(one, two)]
    value, variance = float(gains.mean()), sum(part for part, _ in parts)
    if not variance:
        return Estimate(value, value, value)
    freedom = 1 / sum((part / variance) ** 2 / degrees for part, degrees in parts)
    half = float(stats.t.ppf((1 + level) / 2, freedom)) * variance**0.5
    return Estimate(value, value - half, value + half)


def verdict(gain: Estimate) -> str:
    """Return in a few words what the interval of a gain tells."""
    if abs(gain.value) < TIE:
        return TIED
    return "better" if gain.low > 0 else "worse" if gain.high < 0 else TIED


def differing(groups: Sequence[Group]) -> dict[str, list[str]]:
    """Return the params that differ between groups, or within one, each with its value or values in every group."""
    found = {}
    for name in sorted({name for group in groups for one in group.results for name in one.params}):
        values = [list(dict.fromkeys(str(one.params.get(name, "")) for one in group.results)) for group in groups]
        if len({value for some in values for value in some}) > 1:
            found[name] = [", ".join(some) for some in values]
    return found


def differing_sources(first: Group, other: Group) -> list[str] | None:
    """Return the paths of code and data that the groups were not both made from; None where that isn't known."""
    one, two = first.results[0].sources, other.results[0].sources
    return sorted(path for path in {*one, *two} if one.get(path) != two.get(path)) if one and two else None


def _paired(tables: Sequence[pd.DataFrame]) -> tuple[pd.DataFrame, Array, NDArray[np.intp]]:
    """Return the rows of the first table that all others have, their IoUs [N, tables], and their clusters [N].

    A row is another's with the same image and true box, and the same digest of its file where both have one. Of
    several clusterings the coarsest counts, as an older table knows none.
    """
    key = ["image", *EDGES]
    keyed = [one.set_index(key) for one in tables]
    ious, digests, clusters = (
        pd.concat([one[name] for one in keyed], axis=1, join="inner") for name in ("iou", "digest", "cluster")
    )
    known = digests.to_numpy(dtype=object)
    same = ((known == known.max(axis=1, keepdims=True)) | (known == "")).all(axis=1)
    coarsest = min(clusters[same].to_numpy().T, key=lambda codes: len(np.unique(codes)))
    images = keyed[0].loc[ious.index[same]].reset_index()
    return images.drop(columns=["iou", "digest", "cluster"]), ious[same].to_numpy(), coarsest


def _of_seeds(one: Array, two: Array) -> Iterator[tuple[float, int]]:
    """Yield the variances that seeds add to the difference of mean IoUs, with their degrees of freedom.

    Where one group alone has repeats, their variance stands for both; where none has, there is none.
    """
    for ious, rival in ((one, two), (two, one)):
        count, others = ious.shape[1], rival.shape[1]
        if count > 1:
            shares = 1 / count + (1 if others == 1 else 0)
            yield float(ious.mean(axis=0).var(ddof=1)) * shares, count - 1


def _seeds(one: Result) -> list[str]:
    return [str(one.params.get(name)) for name in SEEDS]


def _difference_or_reason(first: Group, other: Group) -> Difference | str:
    try:
        return difference(first, other)
    except ValueError as error:
        return str(error)
