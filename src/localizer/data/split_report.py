"""How alike the sides of a split are, as numbers and as a table to plot."""

from typing import Any

import numpy as np
import pandas as pd

from localizer.data.splitting import SIDES

BINS = 10  # of box share, of equal width from 0 to the largest


def summary(images: pd.DataFrame) -> dict[str, Any]:
    """Return, for each side, the images, clusters and mean box share, and how many clusters cross sides (0)."""
    sides = {side: _side_summary(images[images["side"] == side]) for side in SIDES}
    crossing = int((images.groupby("cluster")["side"].nunique() > 1).sum())
    return {**sides, "clusters_across_sides": crossing}


def size_histogram(images: pd.DataFrame) -> pd.DataFrame:
    """Return a row a bin of box share, by its lower edge, and a column a side: the share of its images there."""
    edges = np.linspace(0, images["box_share"].max(), BINS + 1)
    table = {"box_share": edges[:-1].round(4)}
    for side in SIDES:
        shares = images.loc[images["side"] == side, "box_share"]
        table[side] = (np.histogram(shares, edges)[0] / max(1, len(shares))).round(4)
    return pd.DataFrame(table)


def _side_summary(images: pd.DataFrame) -> dict[str, float]:
    mean = round(float(images["box_share"].mean()), 6) if len(images) else 0.0
    return {"images": len(images), "clusters": int(images["cluster"].nunique()), "mean_box_share": mean}
