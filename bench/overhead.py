"""What keeping an epoch costs: checkpoint, history, MLflow, and a picture of validation boxes now and then."""

import contextlib
import io
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from localizer import tracking
from localizer.training.checkpoints import Checkpoints
from localizer.training.loop import EpochRecord, fit
from localizer.training.progress import draw_predictions
from localizer.training.samples import Samples
from localizer.training.session import TrainingSession
from localizer.training.state import TrainConfig, TrainState
from stages.train import HISTORY, record

VALIDATED = 128  # images


class Timed(Checkpoints):
    """Checkpoints that add up the processor time of the thread that writes them, which training lacks meanwhile."""

    seconds = 0.0

    def save(self, history: Sequence[EpochRecord], tensors: Mapping[str, Tensor]) -> None:
        started = time.thread_time()
        super().save(history, tensors)
        self.seconds += time.thread_time() - started


def overhead(state: TrainState, samples: Samples, config: TrainConfig, *, show_every: int) -> float:
    """Return the share of a training's time that keeping its epochs takes, as the stage does it, from its first on.

    Counted are the seconds between the epochs, and the processor time of the thread that writes checkpoints, as if
    training stood still for it. Starting and ending the run, and logging the model, are not.
    """
    kept_s = 0.0
    validation = Samples(samples.pixels[:VALIDATED], samples.boxes[:VALIDATED])
    with elsewhere() as folder, tracking.stage_run("train") as run:
        HISTORY.parent.mkdir(parents=True)
        checkpoints = Timed(folder / "checkpoints", {"bench": "overhead"})
        course = TrainingSession(state, checkpoints)
        began = time.perf_counter()
        with run.log_system_metrics():
            for epoch in fit(state, samples, validation, config=config):
                trained = time.perf_counter()
                course.add(epoch)
                with contextlib.redirect_stdout(io.StringIO()):
                    record(course, config.epochs, run=run)
                if epoch.epoch % show_every == 0:
                    run.log_image(draw_predictions(state.eval_model, validation), key="validation", step=epoch.epoch)
                kept_s += time.perf_counter() - trained
        whole_s = time.perf_counter() - began
        course.remove_checkpoints()
    return (kept_s + checkpoints.seconds) / whole_s


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
