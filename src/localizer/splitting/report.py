"""The report of a split: metrics, warnings where splits differ, and the clusters that stay together."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from localizer.probing.duplicates import Link
from localizer.splitting.cluster_sheets import MAX_SHEETS, MAX_TILES, cluster_title
from localizer.tables import SPLITS

BINS = 10  # of box share, of equal width from 0 to the largest
MIN_EFFECT, MAX_P_VALUE = 0.1, 0.01  # a difference beyond both gives a warning
LARGE = 0.1  # of the images: a larger cluster keeps splits from their fractions
SHOWN = 3  # clusters in a warning


class SplitDifference(NamedTuple):
    """How much a split differs from train: `effect` in [0, 1], and the p-value of the test."""

    split: str
    what: str
    measure: str
    effect: float
    p_value: float

    def is_notable(self) -> bool:
        """Return whether the difference is both large and significant."""
        return self.effect > MIN_EFFECT and self.p_value < MAX_P_VALUE

    def __str__(self) -> str:
        return (
            f"{self.what} in {self.split} are distributed differently than in train ({self.measure} {self.effect:.2f}, "
            f"p = {self.p_value:.1g}), so its metrics describe other data than training saw; "
            "try split.method stratified or another seed"
        )


def measure_differences(images: pd.DataFrame) -> list[SplitDifference]:
    """Return how each other split that has images differs from train, in box sizes and in labels."""
    from scipy.stats import ks_2samp

    train = images[images["split"] == "train"]
    differences = []
    for split in SPLITS[1:]:
        other = images[images["split"] == split]
        if len(train) and len(other):
            sizes = ks_2samp(train["box_share"], other["box_share"])
            test = ("box sizes", "Kolmogorov-Smirnov", float(sizes.statistic), float(sizes.pvalue))
            differences += [SplitDifference(split, *test), _label_difference(train["label"], other["label"], split)]
    return differences


def split_warnings(
    images: pd.DataFrame, differences: Sequence[SplitDifference], fractions: Mapping[str, float] | None
) -> list[str]:
    """Return a sentence on leaks, and one per notable difference, too large cluster, and split far from its fraction.

    fractions: None where the splits are given, and therefore have none.
    """
    warnings = [*_leaks(images), *(str(difference) for difference in differences if difference.is_notable())]
    return warnings if fractions is None else [*warnings, *_size_warnings(images, fractions)]


def _leaks(images: pd.DataFrame) -> list[str]:
    """Return a sentence on the clusters that cross splits, those of train and test first; none without one."""
    crossing = _crossing(images)
    if not crossing:
        return []
    worst = sorted(crossing.items(), key=lambda item: (not {"train", "test"} <= {*item[1]}, item[0]))
    first = "; ".join(f"{name} in {', '.join(splits)}" for name, splits in worst[:SHOWN])
    more = f"; and {len(crossing) - SHOWN} more" if len(crossing) > SHOWN else ""
    test = images.loc[images["split"] == "test", "cluster"]
    leaked = int(test.isin(images.loc[images["split"] == "train", "cluster"]).sum())
    return [
        f"leak: expected each cluster in one split, got {len(crossing)} in several ({first}{more}); {leaked} of "
        f"{len(test)} test images have a near-duplicate, or an image of their group, in train"
        f"{', so the test metrics are better than on new images' if leaked else ''}; see reports/split/clusters.csv, "
        "and correct the given splits, or set split.method: hash"
    ]


def _crossing(images: pd.DataFrame) -> dict[str, list[str]]:
    """Return the splits of each cluster that has several, in the order of SPLITS."""
    pairs = images[["cluster", "split"]].drop_duplicates()
    pairs = pairs[pairs["cluster"].duplicated(keep=False)]
    return {str(name): sorted(splits, key=SPLITS.index) for name, splits in pairs.groupby("cluster")["split"]}


def _size_warnings(images: pd.DataFrame, fractions: Mapping[str, float]) -> list[str]:
    """Return a sentence on a cluster that is too large, and one per split far from its fraction."""
    warnings = []
    largest = images["cluster"].value_counts().max() if len(images) else 0
    if largest > 1 and largest > LARGE * len(images):
        warnings.append(
            f"the largest cluster has {largest} of {len(images)} images, all in one split, so the splits can't "
            "reach their fractions; check whether its images belong together"
        )
    for split, fraction in fractions.items():
        count = int((images["split"] == split).sum())
        share = count / len(images)
        if fraction and not fraction / 2 <= share <= fraction * 2:
            warnings.append(
                f"{split}: expected {fraction:.0%} of the images, got {share:.0%} ({count} of {len(images)}); "
                "with few clusters, split.method stratified comes nearer"
            )
    return warnings


def split_metrics(
    images: pd.DataFrame, differences: Sequence[SplitDifference], warnings: Sequence[str]
) -> dict[str, Any]:
    """Return, per split, its counts, mean box share and differences from train, and counts of clusters and warnings."""
    metrics: dict[str, Any] = {}
    for split in SPLITS:
        table = images[images["split"] == split]
        mean = round(float(table["box_share"].mean()), 6) if len(table) else 0.0
        metrics[split] = {"images": len(table), "clusters": table["cluster"].nunique(), "mean_box_share": mean}
    for difference in differences:
        metrics[difference.split][f"{difference.what.replace(' ', '_')}_difference"] = round(difference.effect, 6)
    size = images["cluster"].value_counts()
    several = {"clusters_of_several": int((size > 1).sum()), "images_in_them": int(size[size > 1].sum())}
    return {**metrics, **several, "clusters_across_sides": len(_crossing(images)), "warnings": len(warnings)}


def size_histogram(images: pd.DataFrame) -> pd.DataFrame:
    """Return one row per bin of box share, by its lower edge, and one column per split: the share of its images."""
    edges = np.linspace(0, images["box_share"].max(), BINS + 1)
    table = {"box_share": edges[:-1].round(4)}
    for split in SPLITS:
        shares = images.loc[images["split"] == split, "box_share"]
        table[split] = (np.histogram(shares, edges)[0] / max(1, len(shares))).round(4)
    return pd.DataFrame(table)


def cluster_table(images: pd.DataFrame, links: Sequence[Link]) -> pd.DataFrame:
    """Return cluster, image, split and reason of the images in clusters of 2 or more.

    Clusters that cross splits come first, then the largest.
    """
    table = images[["cluster", "image", "split"]].assign(reason=_reasons(images["image"].tolist(), links))
    clusters = images.groupby("cluster")["image"]
    size = clusters.transform("size")
    whole = ~images["cluster"].isin(_crossing(images).keys())
    table = table.assign(whole=whole, size=-size, first=clusters.transform("min"))[size > 1]
    table = table.sort_values(["whole", "size", "first", "image"], kind="stable")
    return table.drop(columns=["whole", "size", "first"]).reset_index(drop=True)


def render_report(
    metrics: dict[str, Any], clusters: pd.DataFrame, warnings: Sequence[str], *, sheets: Path | None
) -> str:
    """Return the report as Markdown; `sheets`: the folder of `draw_clusters`, relative to the report, or None."""
    lines = ["# The split", "", "| split | images | clusters | mean box share |", "|---|--:|--:|--:|"]
    for split in SPLITS:
        of_split = metrics[split]
        lines.append(f"| {split} | {of_split['images']} | {of_split['clusters']} | {of_split['mean_box_share']:.3f} |")
    lines += ["", "## Warnings", "", *[f"- {warning}" for warning in warnings or ["none"]], "", "## Clusters", ""]
    crossing = metrics["clusters_across_sides"]
    lines.append(
        f"{crossing or 'No'} cluster{'s cross' if crossing > 1 else ' crosses'} splits: "
        f"{metrics['clusters_of_several']} of 2 or more images, {metrics['images_in_them']} images in all. "
        "A cluster is what must stay together: copies, near-duplicates and annotated groups."
    )
    names = clusters["cluster"].unique()
    if sheets is None:
        lines += ["", "dataset.yaml has `show_images: false`: no image is shown here."]
    if len(names) > MAX_SHEETS:
        shown = f"The {MAX_SHEETS} {'first' if crossing else 'largest'} follow"
        lines += ["", f"{shown}; {len(names) - MAX_SHEETS} more are in clusters.csv."]
    for number, name in enumerate(names[:MAX_SHEETS], start=1):
        lines += _section(clusters[clusters["cluster"] == name], number, sheets)
    return "\n".join(lines) + "\n"


def render_terminal(metrics: Mapping[str, Any], warnings: Sequence[str], *, report: Path) -> str:
    """Return the splits and clusters on one line, and one line per warning."""
    counts = ", ".join(f"{split} {metrics[split]['images']}" for split in SPLITS)
    kept = "some across splits" if metrics["clusters_across_sides"] else "each in one split"
    clusters = f"clusters of 2 or more images, {kept}: {metrics['clusters_of_several']}; see {report}"
    return "\n".join([f"split: {counts}; {clusters}", *(f"split: warning: {warning}" for warning in warnings)])


def _section(cluster: pd.DataFrame, number: int, sheets: Path | None) -> list[str]:
    lines = ["", f"### {cluster_title(cluster, number)}", ""]
    if sheets is not None:
        lines += [f"![cluster {number}]({(sheets / f'{number:03d}.jpg').as_posix()})", ""]
    for row in cluster[:MAX_TILES].replace("`", " ", regex=True).itertuples():
        lines.append(f"- `{row.image}`: {row.reason}")
    return lines + [f"- and {len(cluster) - MAX_TILES} more"] * (len(cluster) > MAX_TILES)


def _reasons(names: Sequence[str], links: Sequence[Link]) -> list[str]:
    """Return for each image why it is in its cluster: at most one link of each kind, and the other image's name."""
    reasons: list[dict[str, str]] = [{} for _ in names]
    for link in links:
        kind = link.reason.split(" (")[0]
        for image, other in ((link.first, link.second), (link.second, link.first)):
            is_group = kind.startswith("same group")
            reasons[image].setdefault(kind, link.reason if is_group else f"{link.reason}: {names[other]}")
    return ["; ".join(by_kind.values()) for by_kind in reasons]


def _label_difference(train: "pd.Series[str]", other: "pd.Series[str]", split: str) -> SplitDifference:
    """Return Cramér's V of the labels' counts in train and in another split."""
    from scipy.stats import chi2_contingency

    counts = pd.DataFrame({"train": train.value_counts(), split: other.value_counts()}).fillna(0)
    if len(counts) < 2:
        return SplitDifference(split, "labels", "Cramér's V", 0.0, 1.0)
    test = chi2_contingency(counts, correction=False)
    effect = np.sqrt(test.statistic / counts.to_numpy().sum())
    return SplitDifference(split, "labels", "Cramér's V", float(effect), float(test.pvalue))
