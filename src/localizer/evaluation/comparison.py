"""Comparing results: runs that differ in their seeds alone are one group, and groups are compared image by image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from localizer.boxes import Array
from localizer.data.tables import EDGES
from localizer.evaluation.intervals import Estimate, mean

SEEDS = ("train.seed",)  # parameters of which repeats of one training differ


@dataclass(frozen=True)
class Result:
    """What one run, DVC revision or experiment left.

    params: by dotted name. metrics: of evaluate. images: its predictions, a row an image, or None where they can't
    be had, and then `absent` says why and what to do. commit: of the code; dirty: whether it was changed; sources: the
    digests, by path, of all code and data that it was made from; each as far as it is known.
    """

    name: str
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    images: pd.DataFrame | None = None
    commit: str = ""
    dirty: bool | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    absent: str = "its predictions can't be had here; `dvc pull`, or run it again"


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

    def images(self) -> pd.DataFrame:
        """Return a row an image that all repeats have with one true box, its IoU their mean.

        ValueError where a repeat has no predictions.
        """
        tables = [one.images for one in self.results if one.images is not None]
        if len(tables) < len(self.results):
            lacking = next(one for one in self.results if one.images is None)
            raise ValueError(f"{lacking.name}: {lacking.absent}")
        key = ["image", *EDGES]
        first, ious = tables[0].set_index(key), pd.concat([one.set_index(key)["iou"] for one in tables], axis=1)
        return first.assign(iou=ious.mean(axis=1, skipna=False)).dropna(subset="iou").reset_index()

    def names(self) -> set[str]:
        """Return the images that any of the repeats has."""
        return {name for one in self.results if one.images is not None for name in one.images["image"]}


@dataclass(frozen=True)
class Difference:
    """Another group against the first on the test images that both have with the same true box.

    gain: of mean IoU, positive where the other is better, paired by image. images: image, label, width, height, EDGES,
    iou_first, iou_other, gain. left_out: images of either that the other lacks, or has with another true box.
    """

    first: Group
    other: Group
    gain: Estimate
    images: pd.DataFrame = field(repr=False)
    left_out: int

    @property
    def verdict(self) -> str:
        """Return in a word what the interval tells."""
        return "better" if self.gain.low > 0 else "worse" if self.gain.high < 0 else "no clear difference"

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
    """Return how the other group differs from the first; ValueError where they share no two images.

    The interval is over images; over seeds there are too few repeats for one, so `Group.metric` shows their spread.
    """
    one, two = first.images(), other.images()
    both = one.merge(two[["image", *EDGES, "iou"]], on=["image", *EDGES], suffixes=("_first", "_other"))
    if len(both) < 2:
        raise ValueError(
            f"{first.name} and {other.name} were tested on other images: {len(both)} of {len(one)} and {len(two)} are "
            "the same, with the same true box; compare runs on one data set and split"
        )
    both["gain"] = both["iou_other"] - both["iou_first"]
    left_out = len((first.names() | other.names()) - {*both["image"]})
    return Difference(first, other, mean(both["gain"].to_numpy()), both, left_out)


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


def _seeds(one: Result) -> list[str]:
    return [str(one.params.get(name)) for name in SEEDS]


def _difference_or_reason(first: Group, other: Group) -> Difference | str:
    try:
        return difference(first, other)
    except ValueError as error:
        return str(error)
