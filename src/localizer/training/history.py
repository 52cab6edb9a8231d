"""The epochs of a training as a table, and in words."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pandas as pd

from localizer.data.tables import write_table
from localizer.training.course import Course
from localizer.training.engine import Epoch

COLLAPSED = 0.1  # of the true boxes' spread: below it the model gives all images about the same box


def write_history(history: Sequence[Epoch], path: Path) -> None:
    """Write the epochs as a table, without what differs each time."""
    write_table(pd.DataFrame(history).drop(columns=["images_per_s", "waited", "seconds"]).round(6), path)


def last_epoch(course: Course, epochs: int) -> str:
    """Return what is told of the last of so many epochs."""
    last = course.history[-1]
    told = f"epoch {last.epoch}/{epochs}: loss {last.loss:.3f}, validation IoU {last.val_iou:.3f}"
    left = timedelta(seconds=round((epochs - last.epoch) * last.seconds))
    return f"{told} (best {course.best.val_iou:.3f}), {last.images_per_s:.0f} images/s, {left} left"


def remarks(course: Course, epochs: int) -> Iterator[str]:
    """Yield what there is to say at the end of a training of so many epochs."""
    last = course.history[-1]
    if last.epoch < epochs:
        yield f"no better since epoch {course.best.epoch}: stopped early"
    if last.spread < COLLAPSED:
        yield (
            f"WARNING: about the same box on every image ({last.spread:.0%} of the true boxes' spread): train longer, "
            "try another train.lr, or see with train.overfit: 8 whether it learns at all"
        )
