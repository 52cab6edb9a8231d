"""What a split has done: numbers, warnings where its sides differ, and the clusters that it kept whole."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from localizer.probing.duplicates import Link
from localizer.splitting.pictures import SHEETS, TILES, title
from localizer.tables import SPLITS

BINS = 10  # of box share, of equal width from 0 to the largest
NOTABLE, CHANCE = 0.1, 0.01  # a difference is told above this effect and below this probability
LARGE = 0.1  # of the images: a cluster that holds more hinders the fractions


class Difference(NamedTuple):
    """How much a side differs from train: `effect` in [0, 1], and how often chance alone would give as much."""

    side: str
    what: str
    measure: str
    effect: float
    probability: float

    def notable(self) -> bool:
        """Return whether it is too large for us and for chance."""
        return self.effect > NOTABLE and self.probability < CHANCE

    def __str__(self) -> str:
        return (
            f"{self.what} in {self.side} are shared out otherwise than in train ({self.measure} {self.effect:.2f}, "
            f"p = {self.probability:.1g}): scores there are those of other data than was trained on; "
            "try method stratified or another seed"
        )


def differences(images: pd.DataFrame) -> list[Difference]:
    """Return how each other side that has images differs from train, in box_share and in label."""
    from scipy.stats import ks_2samp

    train = images[images["split"] == "train"]
    found = []
    for side in SPLITS[1:]:
        other = images[images["split"] == side]
        if len(train) and len(other):
            sizes = ks_2samp(train["box_share"], other["box_share"])
            told = ("box sizes", "Kolmogorov-Smirnov", float(sizes.statistic), float(sizes.pvalue))
            found += [Difference(side, *told), _label_difference(train["label"], other["label"], side)]
    return found


def warnings(images: pd.DataFrame, found: Sequence[Difference]) -> list[str]:
    """Return a sentence for each thing to know before trusting the sides."""
    largest = images["cluster"].value_counts().max() if len(images) else 0
    told = [str(difference) for difference in found if difference.notable()]
    if largest > 1 and largest > LARGE * len(images):
        told.append(
            f"the largest cluster holds {largest} of {len(images)} images, and all fall to one side: the sides can't "
            "have the fractions asked for; see whether its pictures belong together"
        )
    return told


def far_off(images: pd.DataFrame, fractions: Mapping[str, float]) -> list[str]:
    """Return a sentence for each side that got less than half, or more than twice, the share of images asked for."""
    told = []
    for side, asked in fractions.items():
        count = int((images["split"] == side).sum())
        if asked and not asked / 2 <= count / len(images) <= asked * 2:
            told.append(
                f"{side} has {count} of {len(images)} images, {count / len(images):.0%} where {asked:.0%} was asked: "
                "chance has much to say with so few clusters; split.method: stratified comes nearer"
            )
    return told


def summary(images: pd.DataFrame, found: Sequence[Difference]) -> dict[str, Any]:
    """Return, for each side, its counts, mean box share and differences from train, and counts of the clusters."""
    sides: dict[str, Any] = {side: _side_summary(images[images["split"] == side]) for side in SPLITS}
    for one in found:
        sides[one.side][one.what.replace(" ", "_") + "_difference"] = round(one.effect, 6)
    size = images["cluster"].value_counts()
    crossing = int((images.groupby("cluster")["split"].nunique() > 1).sum())
    several = {"clusters_of_several": int((size > 1).sum()), "images_in_them": int(size[size > 1].sum())}
    return {**sides, **several, "clusters_across_sides": crossing, "warnings": len(warnings(images, found))}


def size_histogram(images: pd.DataFrame) -> pd.DataFrame:
    """Return a row a bin of box share, by its lower edge, and a column a side: the share of its images there."""
    edges = np.linspace(0, images["box_share"].max(), BINS + 1)
    table = {"box_share": edges[:-1].round(4)}
    for side in SPLITS:
        shares = images.loc[images["split"] == side, "box_share"]
        table[side] = (np.histogram(shares, edges)[0] / max(1, len(shares))).round(4)
    return pd.DataFrame(table)


def cluster_table(images: pd.DataFrame, links: Sequence[Link]) -> pd.DataFrame:
    """Return cluster, image, side and reason of the images in clusters of 2 or more, the largest cluster first."""
    reasons = _reasons(images["image"].tolist(), links)
    table = images[["cluster", "image", "split"]].assign(reason=reasons)
    size = images.groupby("cluster")["image"].transform("size")
    first = images.groupby("cluster")["image"].transform("min")
    table = table.assign(size=-size, first=first)[size > 1].sort_values(["size", "first", "image"], kind="stable")
    return table.drop(columns=["size", "first"]).reset_index(drop=True)


def report(metrics: dict[str, Any], table: pd.DataFrame, told: Sequence[str], *, pictures: Path | None) -> str:
    """Return the report as Markdown; `pictures`: the folder of `draw_clusters`, as seen from the report, or None."""
    lines = ["# The split", "", "| side | images | clusters | mean box share |", "|---|--:|--:|--:|"]
    for side in SPLITS:
        one = metrics[side]
        lines.append(f"| {side} | {one['images']} | {one['clusters']} | {one['mean_box_share']:.3f} |")
    lines += ["", "## Warnings", "", *[f"- {warning}" for warning in told or ["none"]], "", "## Clusters", ""]
    lines.append(_crossing(metrics))
    names = table["cluster"].unique()
    if pictures is None:
        lines += ["", "The data set's card says `show_images: false`: no picture is shown here."]
    if len(names) > SHEETS:
        lines += ["", f"The {SHEETS} largest follow; {len(names) - SHEETS} more are in clusters.csv."]
    for number, name in enumerate(names[:SHEETS], start=1):
        lines += _section(table[table["cluster"] == name], number, pictures)
    return "\n".join(lines) + "\n"


def _crossing(metrics: dict[str, Any]) -> str:
    return (
        f"No cluster crosses sides: {metrics['clusters_of_several']} of 2 or more images, "
        f"{metrics['images_in_them']} images in all. A cluster is what must not be torn apart: copies of a picture, "
        "pictures that look the same, and pictures of one annotated group."
    )


def _section(cluster: pd.DataFrame, number: int, pictures: Path | None) -> list[str]:
    lines = ["", f"### {title(cluster, number)}", ""]
    if pictures is not None:
        lines += [f"![cluster {number}]({(pictures / f'{number:03d}.jpg').as_posix()})", ""]
    for image, reason in zip(cluster["image"][:TILES], cluster["reason"][:TILES], strict=True):
        lines.append(f"- {_code(image)}: {reason.replace('`', ' ')}")
    return lines + [f"- and {len(cluster) - TILES} more"] * (len(cluster) > TILES)


def _code(text: str) -> str:
    return f"`{text.replace('`', ' ')}`"


def _reasons(names: Sequence[str], links: Sequence[Link]) -> list[str]:
    """Return for each image why it is in its cluster: at most one link of each kind, and the other image's name."""
    told: list[dict[str, str]] = [{} for _ in names]
    for link in links:
        kind = link.reason.split(" (")[0]
        for one, other in ((link.first, link.second), (link.second, link.first)):
            group = kind.startswith("same group")
            told[one].setdefault(kind, link.reason if group else f"{link.reason}: {names[other]}")
    return ["; ".join(reasons.values()) for reasons in told]


def _label_difference(train: "pd.Series[str]", other: "pd.Series[str]", side: str) -> Difference:
    from scipy.stats import chi2_contingency

    counts = pd.DataFrame({"train": train.value_counts(), side: other.value_counts()}).fillna(0)
    if len(counts) < 2:
        return Difference(side, "labels", "Cramér's V", 0.0, 1.0)
    tested = chi2_contingency(counts, correction=False)
    return Difference(
        side, "labels", "Cramér's V", float(np.sqrt(tested.statistic / counts.to_numpy().sum())), float(tested.pvalue)
    )


def _side_summary(images: pd.DataFrame) -> dict[str, float]:
    mean = round(float(images["box_share"].mean()), 6) if len(images) else 0.0
    return {"images": len(images), "clusters": int(images["cluster"].nunique()), "mean_box_share": mean}


def in_short(metrics: Mapping[str, Any], warnings: Sequence[str], *, report: Path) -> str:
    """Return what the terminal gets: the sides, the clusters, and a line a warning."""
    sides = ", ".join(f"{side} {metrics[side]['images']}" for side in SPLITS)
    clusters = f"clusters of 2 or more images, each on one side: {metrics['clusters_of_several']}; see {report}"
    return "\n".join([f"split: {sides}; {clusters}", *(f"split: warning: {warning}" for warning in warnings)])
