"""What keeping an epoch costs: checkpoint, history, MLflow, and a picture of validation boxes now and then."""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from localizer import tracking
from localizer.training.checkpoint import Checkpoints
from localizer.training.course import Course
from localizer.training.engine import Samples, fit
from localizer.training.show import draw_boxes
from localizer.training.state import Recipe, State
from stages.train import HISTORY, record

VALIDATED = 128  # images


def overhead(state: State, samples: Samples, recipe: Recipe, *, show_every: int) -> list[float]:
    """Return, after each epoch, the share of the time that keeping the epochs took: each as it does in the stage."""
    shares, kept_s = [], 0.0
    validation = Samples(samples.pixels[:VALIDATED], samples.boxes[:VALIDATED])
    with elsewhere() as folder, tracking.stage_run("train") as run:
        HISTORY.parent.mkdir(parents=True)
        course = Course(state, Checkpoints(folder / "checkpoints", {"bench": "overhead"}))
        began = time.perf_counter()
        for epoch in fit(state, samples, validation, recipe=recipe):
            trained = time.perf_counter()
            course.add(epoch)
            with contextlib.redirect_stdout(None):
                record(course, recipe.epochs, run=run)
            if epoch.epoch % show_every == 0:
                run.log_image(draw_boxes(state.judged, validation), key="validation", step=epoch.epoch)
            kept_s += time.perf_counter() - trained
            shares.append(kept_s / (time.perf_counter() - began))
    return shares


@contextlib.contextmanager
def elsewhere() -> Iterator[Path]:
    """Work in a temporary folder, whose store is its own."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DVC_ROOT"] = folder
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)
            del os.environ["DVC_ROOT"]
