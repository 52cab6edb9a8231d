"""Evaluation results, and groups of those that differ in their training seed only."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from localizer.boxes import Array

SEED_PARAMS = ("train.seed",)


@dataclass(frozen=True)
class Result:
    """The evaluation of one run, DVC revision or experiment.

    params: by dotted name. images: its predictions, one row per image, or None if they are unavailable, for the reason
    `missing`; `digest` is of the image file, empty if unknown, and images of one `cluster` are not independent. commit:
    of the code; dirty: whether it had uncommitted changes; sources: digests of the code and data that it was made from,
    by path; each as far as known. stale: how params and sources differ from those at the commit, in words; empty if
    they don't. folds: the number of those whose test predictions are pooled; 0 for a single test split.
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
    folds: int = 0

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


def differing_params(groups: Collection[Group]) -> dict[str, list[str]]:
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
