"""The run of a stage: opened when the stage starts, written to while it works, closed however it ends."""

import logging
import math
import os
import resource
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsFloat

from localizer.pipeline.stage_context import StageContext, changed_inputs, read_stage_context
from localizer.tracking import logged_model, run_lifecycle
from localizer.tracking.cached_stages import link_stages
from localizer.tracking.replication.background_sync import BackgroundSync
from localizer.tracking.stage_lock import stage_lock
from localizer.tracking.store import Store, main_checkout, open_store

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

log = logging.getLogger(__name__)
ENDED_BY_SIGNAL = (130, 143)  # exit statuses after SIGINT and SIGTERM


@dataclass(frozen=True)
class Run:
    """A stage's run, and the run of the pipeline's execution that it belongs to.

    inputs: all that determines the stage's outputs, by name: params, and digests of files. Empty outside of a DVC
    project.
    """

    id: str
    parent_id: str
    stage: str
    store: Store
    inputs: Mapping[str, str]

    @property
    def _both(self) -> tuple[str, str]:
        return self.id, self.parent_id

    def check_inputs(self) -> None:
        """Raise ValueError that names the input files that have changed since the stage started."""
        if changed := changed_inputs(self.stage, self.inputs):
            raise ValueError(
                f"changed while {self.stage} ran: {', '.join(changed)}; its results belong to neither version and "
                "aren't kept: run `dvc repro` again"
            )

    def log_metrics(self, metrics: Mapping[str, SupportsFloat], *, step: int = 0) -> None:
        """Log numbers to the stage's run, and as STAGE/NAME to the pipeline's; warn of those that aren't finite."""
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        values = {name: float(value) for name, value in metrics.items()}
        if skipped := {name: value for name, value in values.items() if not math.isfinite(value)}:
            log.warning("%s, step %d: MLflow takes finite numbers only; not logged: %s", self.stage, step, skipped)
        entries = [Metric(name, value, now, step) for name, value in values.items() if name not in skipped]
        self.store.client.log_batch(self.id, metrics=entries)
        run_lifecycle.log_to_pipeline(self.store, self.parent_id, self.stage, entries)

    def log_artifact(self, path: Path) -> None:
        """Store a file or folder with the stage's run."""
        self.store.client.log_artifact(self.id, str(path))

    def log_highlight(self, path: Path) -> None:
        """Store a file or folder with the stage's run and the pipeline's: what everyone should see."""
        for run_id in self._both:
            self.store.client.log_artifact(run_id, str(path))

    def log_image(self, pixels: "NDArray[Any]", *, key: str, step: int) -> None:
        """Show an image, RGB uint8 [H, W, 3], on the page of the stage's run, in its key's row at a step."""
        self.store.client.log_image(self.id, pixels, key=key, step=step, synchronous=True)

    @contextmanager
    def log_system_metrics(self) -> Iterator[None]:
        """Log the load of CPU, memory, disk and GPU every ten seconds, as metrics named system/."""
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        logging.getLogger("mlflow.system_metrics").setLevel(logging.WARNING)  # it logs its start and end
        monitor = SystemMetricsMonitor(self.id, tracking_uri=self.store.client.tracking_uri)
        monitor.start()
        try:
            yield
        finally:
            monitor.finish()

    def describe(self, markdown: str) -> None:
        """Show the text as the description of both runs."""
        for run_id in self._both:
            self.store.write_tags(run_id, {"mlflow.note.content": markdown})

    def log_table(self, frame: "pd.DataFrame", *, name: str, context: str) -> None:
        """Record a table as an input of both runs: its digest and columns, not its rows."""
        from mlflow.data.pandas_dataset import from_pandas
        from mlflow.entities import Dataset, DatasetInput, InputTag

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Hint: Inferred schema contains integer column", UserWarning)
            table = Dataset(**from_pandas(frame, name=name).to_dict())
        for run_id in self._both:
            self.store.client.log_inputs(run_id, [DatasetInput(table, [InputTag("mlflow.data.context", context)])])

    def log_model(self, weights: Path) -> str:
        """Store MODEL.safetensors with its model card, ready to be loaded and served; return the model's URI."""
        from mlflow.entities import LoggedModelOutput

        info = logged_model.log_model(weights, store=self.store, run_id=self.id)
        self.store.client.log_outputs(self.parent_id, [LoggedModelOutput(info.model_id, step=0)])
        return str(info.model_uri)


@contextmanager
def stage_run(stage: str) -> Iterator[Run]:
    """Give a new run for the stage, within the run of the pipeline's execution, and close both at the end.

    StoreError if the MLflow store can't be used; ValueError if the same stage is already running here, or if an input
    has changed meanwhile.
    """
    os.environ.pop("MLFLOW_RUN_ID", None)  # another run, which MLflow would write to
    with stage_lock(main_checkout() / ".localizer" / "locks", stage):
        store = open_store()
        run_lifecycle.close_dead_runs(store)
        context = read_stage_context(stage)
        parent_id = run_lifecycle.start_pipeline_run(store, context)
        run_id = run_lifecycle.start_stage_run(store, context, parent_id=parent_id)
        sync = BackgroundSync(store, [run_id, parent_id])
        try:
            yield from _run_to_end(Run(run_id, parent_id, stage, store, context.inputs), context)
        finally:
            sync.finish()


def _run_to_end(run: Run, context: StageContext) -> Iterator[Run]:
    status, started = "FAILED", time.perf_counter()
    try:
        yield run
        run.check_inputs()
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)
        run.log_metrics({"cost/seconds": time.perf_counter() - started, "cost/peak_memory_mib": peak_mib})
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    except SystemExit as exit_:
        status = ("KILLED" if exit_.code in ENDED_BY_SIGNAL else "FAILED") if exit_.code else "FINISHED"
        raise
    finally:
        _end(run, context, status)


def _end(run: Run, context: StageContext, status: str) -> None:
    if status == "FINISHED" and run_lifecycle.is_running(run.store, run.parent_id):
        try:
            link_stages(run.store, context, run_id=run.id, parent_id=run.parent_id)
        except Exception:
            # The work is done, and DVC's files may have been edited during hours of it: no reason to lose it.
            log.exception("%s: the run isn't linked to the other stages", run.stage)
    try:
        for run_id in run._both:
            if run_lifecycle.is_running(run.store, run_id):
                run.store.client.set_terminated(run_id, status)
    except Exception:
        if status == "FINISHED":
            raise
        log.exception("%s: the run couldn't be closed", run.stage)  # the first error matters more
