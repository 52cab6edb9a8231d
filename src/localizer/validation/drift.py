"""How far changed annotations are from accepted ones: rows added, removed and moved, labels, sizes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from localizer.boxes import area, paired_iou
from localizer.dataset import Drift
from localizer.datasets.annotations import line_or_element
from localizer.findings import Finding
from localizer.tables import EDGES, Table
from localizer.validation.rules.encoding_checks import file_finding

SAME_IOU = 0.999  # of the old and the new box: below, the box has moved
FIX = "look at the rows in summary.md (--reports DIR); if the change is meant, raise this limit: `drift` of the card"


@dataclass(frozen=True)
class Comparison:
    """What became of the accepted rows.

    rows: a row for each that was added, removed or moved, with its change, places and IoU. The others are
    counts, and distances in [0, 1] between the old and the new distribution of labels (total variation) and
    of box areas (Kolmogorov-Smirnov).
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
        """Yield a critical finding for each limit that is passed."""
        for change in ("added", "removed", "moved"):
            limit = getattr(limits, change)
            share = self.count(change) / max(1, self.before)
            if share > limit:
                got = f"{self.count(change)} of {self.before} rows {change} ({share:.1%})"
                yield file_finding(f"drift_{change}", source, got=got, expected=f"at most {limit:.1%}", fix=FIX)
        for name, distance, limit in (("labels", self.labels, limits.labels), ("sizes", self.sizes, limits.sizes)):
            if distance > limit:
                got = f"a distribution of {name} that is {distance:.3f} away from the accepted one's"
                yield file_finding(f"drift_{name}", source, got=got, expected=f"at most {limit:g}", fix=FIX)


def compare(new: Table, old: Table) -> Comparison:
    """Return how the new rows differ from the old: tables with image, label, EDGES, line and element.

    Rows of one image and label are paired from left to right, after those that are equal.
    """
    pairs = _paired(new, old)
    both = pairs["_merge"] == "both"
    known = [pairs[[f"{edge}_{side}" for edge in EDGES]].to_numpy(dtype=np.float64) for side in ("new", "old")]
    pairs["iou"] = np.where(both, _iou(*known), np.nan)
    change = pairs["_merge"].map({"left_only": "added", "right_only": "removed"}).astype("object")
    pairs["change"] = change.mask(both & (pairs["iou"] < SAME_IOU), "moved")
    columns = ["change", "image", "label", "line_old", "line_new", "iou"]
    rows = pairs.loc[pairs["change"].notna(), columns].reset_index(drop=True)
    # Rounded, because shares in tenths would miss a limit of 0.1 by a rounding error.
    labels, sizes = (round(distance, 9) for distance in (_labels_apart(new, old), _sizes_apart(new, old)))
    return Comparison(rows, len(old), len(new), labels=labels, sizes=sizes)


def _paired(new: Table, old: Table) -> Table:
    """Return the rows of both, those of an image and label side by side: equal boxes first, the others by their edges.

    Of two equal rows the second is equal only to a second one.
    """
    sides = [table[["image", "label", *EDGES]].assign(line=line_or_element(table)) for table in (new, old)]
    equal = ["image", "label", *EDGES]
    keys = [
        pd.MultiIndex.from_frame(side[equal].assign(copy=side.groupby(equal, dropna=False).cumcount()))
        for side in sides
    ]
    sides = [
        side.assign(changed=~key.isin(other)).sort_values(["changed", *EDGES], kind="stable")
        for side, key, other in zip(sides, keys, reversed(keys), strict=True)
    ]
    by = ["image", "label", "turn"]
    sides = [side.assign(turn=side.groupby(by[:2], dropna=False).cumcount()) for side in sides]
    return sides[0].merge(sides[1], on=by, how="outer", suffixes=("_new", "_old"), indicator=True)


def _iou(new_px: np.ndarray, old_px: np.ndarray) -> np.ndarray:
    """Return the IoU [N] of boxes [N, 4]; equal boxes, be they empty or no numbers, have 1."""
    same = ((new_px == old_px) | (np.isnan(new_px) & np.isnan(old_px))).all(axis=1)
    return np.where(same, 1, np.nan_to_num(paired_iou(np.nan_to_num(new_px), np.nan_to_num(old_px))))


def _labels_apart(new: Table, old: Table) -> float:
    """Return half the sum of the differences between the labels' shares, in [0, 1]."""
    shares = [table["label"].value_counts(normalize=True) for table in (new, old)]
    return float(shares[0].sub(shares[1], fill_value=0).abs().sum() / 2)


def _sizes_apart(new: Table, old: Table) -> float:
    """Return the greatest difference between the cumulative distributions of box areas, in [0, 1]."""
    from scipy.stats import ks_2samp

    areas = [area(table[EDGES].dropna().to_numpy(dtype=np.float64)) for table in (new, old)]
    return float(ks_2samp(*areas).statistic) if all(map(len, areas)) else 0.0
