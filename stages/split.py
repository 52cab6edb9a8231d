"""Gives every image one side: train, validation, calibration (for later use, and nothing else) or test."""

import json
import sys
from pathlib import Path
from typing import Annotated, Literal, Self

import pandas as pd
from pydantic import Field, model_validator

from localizer import config, tracking
from localizer.data import splitting
from localizer.data.split_report import size_histogram, summary
from localizer.data.tables import EDGES, read_table, write_table

CLEAN = Path("tables/clean.csv")
SPLIT = Path("tables/split.csv")
METRICS = Path("reports/split/metrics.json")
SIZES = Path("reports/split/box_size.csv")

Fraction = Annotated[float, Field(ge=0, lt=1)]


class SplitParams(config.Record):
    """`fractions` of the images, which sum to 1; `seed` keys the hash or the shuffle."""

    method: Literal["hash", "stratified"]
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    train: Annotated[float, Field(gt=0, lt=1)]
    validation: Annotated[float, Field(gt=0, lt=1)]
    calibration: Fraction
    test: Annotated[float, Field(gt=0, lt=1)]

    @model_validator(mode="after")
    def _sums_to_one(self) -> Self:
        if abs(sum(self.fractions.values()) - 1) > 1e-9:
            raise ValueError(
                f"train, validation, calibration and test must sum to 1, not {sum(self.fractions.values()):g}"
            )
        return self

    @property
    def fractions(self) -> dict[str, float]:
        return {side: getattr(self, side) for side in splitting.SIDES}


def main() -> None:
    params = config.load("split", SplitParams)
    with tracking.stage_run("split") as run:
        images = read_table(CLEAN, numbers=["width", "height", *EDGES])
        images = split(images, params)
        write_table(images, SPLIT)
        write_table(size_histogram(images), SIZES)
        metrics = summary(images)
        METRICS.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
        run.log_metrics(config.flatten(metrics))
        for path in (SPLIT, SIZES, METRICS):
            run.log_artifact(path)
        print("split:", ", ".join(f"{side} {metrics[side]['images']}" for side in splitting.SIDES))


def split(images: pd.DataFrame, params: SplitParams) -> pd.DataFrame:
    """Return the images with their cluster, side and box share; ValueError if a side stays empty."""
    cluster, share = splitting.clusters(images), splitting.box_share(images)
    if params.method == "hash":
        side = splitting.split_by_hash(cluster, fractions=params.fractions, seed=params.seed)
    else:
        side = splitting.split_stratified(cluster, share, fractions=params.fractions, seed=params.seed)
    empty = [name for name in splitting.SIDES if params.fractions[name] and name not in set(side)]
    if empty:
        raise ValueError(f"no image fell to {', '.join(empty)}: {len(images)} images are too few for these fractions")
    return images.assign(cluster=cluster, side=side, box_share=share)


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"split: {error}")
