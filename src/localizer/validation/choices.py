"""Choices of dataset.yaml that settle what would stop the pipeline: which there are, and what each keeps."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from localizer.dataset import DatasetConfig
from localizer.findings import count_of
from localizer.tables import EDGES, Table
from localizer.validation.result import ValidationResult

MAX_CLIPPED_PX = 3  # boxes that protrude further are wrong, and no rounding
USUAL_BAD_SHARE = 0.05  # of the rows; if more are bad, the cause should be found first
MAX_BAD_SHARE = 0.5
LABELS = 3  # labels that are offered as the task's


@dataclass(frozen=True)
class Choice:
    """Values of dataset.yaml, and what they do to the data set."""

    values: dict[str, Any]
    effect: str

    def __str__(self) -> str:
        """Return the choice as it is written in dataset.yaml, with its effect."""
        return f"`{', '.join(f'{key}: {value}' for key, value in self.values.items())}` {self.effect}"


@dataclass(frozen=True)
class Question:
    """What would stop the pipeline, and the choices that settle it; `recommended` is one of them, or None."""

    problem: str
    choices: tuple[Choice, ...]
    recommended: Choice | None


def protruding_boxes(result: ValidationResult, config: DatasetConfig) -> Question | None:
    """Return the question whether boxes that protrude a little from their image are to be clipped."""
    rows = {f.row for f in result.findings if f.rule in ("outside_image", "value_negative") and f.row is not None}
    boxes = result.boxes.loc[result.boxes["row"].isin(rows) & result.boxes["checked"]]
    sizes = boxes[["image_width", "image_height"]].to_numpy(dtype=np.float64)
    edges = boxes[EDGES].to_numpy(dtype=np.float64)
    beyond = np.concatenate([-edges[:, :2], edges[:, 2:] - sizes], axis=1).max(axis=1, initial=0)
    beyond = beyond[beyond <= MAX_CLIPPED_PX]  # NaN compares as false
    if config.clip_px or not len(beyond):
        return None
    choice = Choice({"clip_px": math.ceil(beyond.max())}, "clips them")
    problem = f"{count_of(len(beyond), 'box')} protruding from their image by {beyond.max():.2g} px or less"
    return Question(problem, (choice,), choice)


def several_boxes(result: ValidationResult, config: DatasetConfig) -> Question | None:
    """Return the question what is to be done with images that have several boxes of the task."""
    boxes = result.boxes[result.boxes["of_task"]]
    counts = boxes["image"].value_counts()
    several = int((counts > 1).sum())
    if config.multiple != "error" or not several:
        return None
    largest = Choice({"multiple": "largest"}, f"keeps all {len(counts)}")
    drop = Choice({"multiple": "drop"}, f"keeps {len(counts) - several}")
    problem = f"{several} of {len(counts)} images have several boxes"
    labels = _labels(boxes) if config.label is None else ()
    return Question(problem, (largest, drop, *labels), largest)


def bad_rows(result: ValidationResult, config: DatasetConfig) -> Question | None:
    """Return the question whether bad rows are to be set aside."""
    reasons = result.quarantine["reasons"]
    bad, rows = int((reasons != "several_boxes").sum()), int(result.boxes["of_task"].sum())
    if config.on_bad_row != "fail" or not bad or bad > MAX_BAD_SHARE * rows:
        return None
    values: dict[str, Any] = {"on_bad_row": "quarantine"}
    if bad > max(1, config.max_bad_fraction * rows):
        values["max_bad_fraction"] = math.ceil(100 * bad / rows) / 100
    choice = Choice(values, f"sets them aside, and keeps {len(result.clean)} of {result.images} images")
    is_usual = bad <= max(1, USUAL_BAD_SHARE * rows)
    return Question(f"{bad} of {rows} rows {'is' if bad == 1 else 'are'} bad", (choice,), choice if is_usual else None)


QUESTIONS = (protruding_boxes, several_boxes, bad_rows)  # in this order: each depends on the answers before it


def _labels(boxes: Table) -> Iterator[Choice]:
    """Yield the labels with the most images that have exactly one of them, if there are several labels."""
    by_image: pd.DataFrame = boxes.groupby(["label", "image"]).size().rename("boxes").reset_index()
    if by_image["label"].nunique() < 2:
        return
    single = by_image[by_image["boxes"] == 1]["label"].value_counts()
    for label, images in single.head(LABELS).items():
        others = int(((by_image["label"] == label) & (by_image["boxes"] > 1)).sum())
        more = f", and finds several in {others}" if others else ""
        yield Choice({"label": str(label)}, f"keeps {images} with one{more}")
