"""Drift of changed annotations from accepted ones: rows added, removed and moved, labels, sizes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from localizer.boxes import Array, area, paired_iou
from localizer.dataset import Drift
from localizer.datasets.annotations import line_or_element
from localizer.findings import Finding, critical
from localizer.tables import EDGES, Table

SAME_IOU = 0.999  # of the old and the new box; below it, the box has moved
CHANGES = ("added", "removed", "moved")
DISTANCES = {
    "labels": "total variation distance from the accepted labels",
    "sizes": "Kolmogorov-Smirnov distance from the accepted box areas",
}
FIX = "check the rows in summary.md (--reports DIR); if the change is intended, raise `drift` in dataset.yaml"


@dataclass(frozen=True)
class DriftReport:
    """How annotations differ from accepted ones.

    rows: one per row that was added, removed or moved, with the change, its lines and the IoU of the two boxes.
    before, after: numbers of rows. labels: total variation distance of the labels. sizes: Kolmogorov-Smirnov
    distance of the box areas; both in [0, 1].
    """

    rows: Table
    before: int
    after: int
    labels: float
    sizes: float

    def count(self, change: str) -> int:
        """Return how many rows were `added`, `removed` or `moved`."""
        return int((self.rows["change"] == change).sum())

    def findings(self, limits: Drift, *, source: str) -> Iterator[Finding]:
        """Yield a critical finding for each limit that is exceeded."""
        for change in CHANGES:
            count, limit = self.count(change), getattr(limits, change)
            share = count / max(1, self.before)
            if share > limit:
                expected = f"rows {change} up to {limit:.1%} of the accepted ones"
                got = f"{count}, {share:.1%} of {self.before}"
                yield critical(source, f"drift_{change}", expected=expected, got=got, fix=FIX)
        for name, measure in DISTANCES.items():
            distance, limit = getattr(self, name), getattr(limits, name)
            if distance > limit:
                expected = f"at most {limit:g} as {measure}"
                yield critical(source, f"drift_{name}", expected=expected, got=f"{distance:.3f}", fix=FIX)


def measure_drift(new: Table, old: Table) -> DriftReport:
    """Return how the new rows differ from the old: tables with image, label, EDGES, line and element.

    Rows of the same image and label are paired from left to right, after those that are equal.
    """
    pairs = _paired(new, old)
    both = pairs["_merge"] == "both"
    boxes = [pairs[[f"{edge}_{version}" for edge in EDGES]].to_numpy(dtype=np.float64) for version in ("new", "old")]
    pairs["iou"] = np.where(both, _iou(*boxes), np.nan)
    change = pairs["_merge"].map({"left_only": "added", "right_only": "removed"}).astype("object")
    pairs["change"] = change.mask(both & (pairs["iou"] < SAME_IOU), "moved")
    columns = ["change", "image", "label", "line_old", "line_new", "iou"]
    rows = pairs.loc[pairs["change"].notna(), columns].reset_index(drop=True)
    shares = [table["label"].value_counts(normalize=True) for table in (new, old)]
    labels = shares[0].sub(shares[1], fill_value=0).abs().sum() / 2
    # Rounded, because shares in tenths would miss a limit of 0.1 by a rounding error.
    return DriftReport(rows, len(old), len(new), labels=round(labels, 9), sizes=round(_size_distance(new, old), 9))


def _paired(new: Table, old: Table) -> Table:
    """Return the rows of both, paired by image and label: equal boxes first, the rest by their edges.

    Of two equal rows the second is equal only to a second one.
    """
    tables = [table[["image", "label", *EDGES]].assign(line=line_or_element(table)) for table in (new, old)]
    equal, group = ["image", "label", *EDGES], ["image", "label"]
    keys = [
        pd.MultiIndex.from_frame(table[equal].assign(copy=table.groupby(equal, dropna=False).cumcount()))
        for table in tables
    ]
    for place, (table, key, other) in enumerate(zip(tables, keys, reversed(keys), strict=True)):
        ordered = table.assign(changed=~key.isin(other)).sort_values(["changed", *EDGES], kind="stable")
        tables[place] = ordered.assign(order=ordered.groupby(group, dropna=False).cumcount())
    return tables[0].merge(tables[1], on=[*group, "order"], how="outer", suffixes=("_new", "_old"), indicator=True)


def _iou(new_px: Array, old_px: Array) -> Array:
    """Return the IoU [N] of boxes [N, 4]; 1 for equal boxes, even if empty or NaN."""
    same = ((new_px == old_px) | (np.isnan(new_px) & np.isnan(old_px))).all(axis=1)
    return np.where(same, 1, np.nan_to_num(paired_iou(np.nan_to_num(new_px), np.nan_to_num(old_px))))


def _size_distance(new: Table, old: Table) -> float:
    """Return the largest difference between the cumulative distributions of box areas, 0 if there are none."""
    from scipy.stats import ks_2samp

    areas = [area(table[EDGES].dropna().to_numpy(dtype=np.float64)) for table in (new, old)]
    return float(ks_2samp(*areas).statistic) if all(map(len, areas)) else 0.0
