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
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsFloat

from localizer.pipeline.stage_context import Facts, changed_since, gather
from localizer.tracking import cached_stages, logged_model, run_lifecycle
from localizer.tracking.replication.background_sync import Sending
from localizer.tracking.stage_lock import alone
from localizer.tracking.store import Store, main_checkout, open_store

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

log = logging.getLogger(__name__)
ENDED_BY_SIGNAL = (130, 143)  # exit statuses of a process that SIGINT or SIGTERM has ended


@dataclass(frozen=True)
class Run:
    """A stage's run, and the run of the pipeline's execution that it belongs to.

    inputs: all that the stage's outputs follow from, by name: params, and digests of files. Empty outside of a
    DVC project.
    """

    id: str
    parent_id: str
    stage: str
    store: Store
    inputs: Mapping[str, str] = field(default_factory=dict)

    def check_inputs(self) -> None:
        """Raise ValueError that names what has changed, since the stage began, of the files that it is made from."""
        if changed := changed_since(self.stage, self.inputs):
            raise ValueError(
                f"changed while {self.stage} ran: {', '.join(changed)}; what came out belongs to neither state and "
                "isn't kept: run `dvc repro` again"
            )

    def log_metrics(self, metrics: Mapping[str, SupportsFloat], *, step: int = 0) -> None:
        """Log numbers to the stage's run, as STAGE/NAME to the pipeline's; what isn't finite is left out and told."""
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        values = {name: float(value) for name, value in metrics.items()}
        if odd := {name: value for name, value in values.items() if not math.isfinite(value)}:
            log.warning("%s, step %d: MLflow holds finite numbers only; left out: %s", self.stage, step, odd)
        entries = [Metric(name, value, now, step) for name, value in values.items() if name not in odd]
        self.store.write_metrics(self.id, entries)
        self.store.write_metrics(self.parent_id, run_lifecycle.of_stage(self.stage, entries))

    def log_artifact(self, path: Path, *, folder: str | None = None) -> None:
        """Store a file, or a folder under its name, with the stage's run; `folder` is where in the run."""
        self.store.client.log_artifact(self.id, str(path), folder)

    def log_highlight(self, path: Path, *, folder: str | None = None) -> None:
        """Store a file or folder with the stage's run and with the pipeline's: what everyone should see."""
        for run_id in (self.id, self.parent_id):
            self.store.client.log_artifact(run_id, str(path), folder)

    def log_image(self, pixels: "NDArray[Any]", *, key: str, step: int) -> None:
        """Show RGB uint8 [H, W, 3] on the page of the stage's run, in the row of its key, at a step."""
        self.store.client.log_image(self.id, pixels, key=key, step=step, synchronous=True)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Log the machine's load as metrics named system/, each ten seconds: processor, memory, disk, GPU."""
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        logging.getLogger("mlflow.system_metrics").setLevel(logging.WARNING)  # it tells its start and its end
        monitor = SystemMetricsMonitor(self.id, tracking_uri=self.store.client.tracking_uri)
        monitor.start()
        try:
            yield
        finally:
            monitor.finish()

    def describe(self, markdown: str) -> None:
        """Show the text as the description of both runs."""
        for run_id in (self.id, self.parent_id):
            self.store.write_tags(run_id, {"mlflow.note.content": markdown})

    def log_table(self, frame: "pd.DataFrame", *, name: str, context: str) -> None:
        """Record the table as an input of both runs: its digest and columns, not its rows."""
        from mlflow.data.pandas_dataset import from_pandas
        from mlflow.entities import Dataset, DatasetInput, InputTag

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Hint: Inferred schema contains integer column", UserWarning)
            table = Dataset(**from_pandas(frame, name=name).to_dict())
        given = DatasetInput(table, [InputTag("mlflow.data.context", context)])
        for run_id in (self.id, self.parent_id):
            self.store.client.log_inputs(run_id, [given])

    def log_model(self, weights: Path) -> str:
        """Store MODEL.safetensors with its card, ready to be loaded and served; return the model's address."""
        from mlflow.entities import LoggedModelOutput

        info = logged_model.log_model(weights, store=self.store, run_id=self.id)
        self.store.client.log_outputs(self.parent_id, [LoggedModelOutput(info.model_id, step=0)])
        return str(info.model_uri)


@contextmanager
def stage_run(stage: str) -> Iterator[Run]:
    """Give a new run for the stage, within that of the pipeline's execution, and close both at the end.

    Raises StoreError if the MLflow store can't be used, and ValueError, which names the process, when the same stage
    already works here, or when what it reads has changed while it worked.
    """
    os.environ.pop("MLFLOW_RUN_ID", None)  # a run of someone else's, which MLflow would write to
    with alone(main_checkout() / ".localizer" / "locks", stage):
        store = open_store()
        run_lifecycle.close_dead(store)
        facts = gather(stage)
        parent_id = run_lifecycle.enter(store, facts)
        run = Run(
            run_lifecycle.start_stage(store, facts, parent_id=parent_id), parent_id, stage, store, facts.everything
        )
        sending = Sending(store, [run.id, parent_id])
        try:
            yield from _until_end(run, facts)
        finally:
            sending.finish()


def _until_end(run: Run, facts: Facts) -> Iterator[Run]:
    status, started = "FAILED", time.perf_counter()
    try:
        yield run
        run.check_inputs()
        run.log_metrics({"cost/seconds": time.perf_counter() - started, "cost/peak_memory_mib": _peak_mib()})
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    except SystemExit as exit_:
        status = ("KILLED" if exit_.code in ENDED_BY_SIGNAL else "FAILED") if exit_.code else "FINISHED"
        raise
    finally:
        _end(run, facts, status)


def _end(run: Run, facts: Facts, status: str) -> None:
    if status == "FINISHED" and run_lifecycle.is_running(run.store, run.parent_id):
        _link(run, facts)
    try:
        run_lifecycle.close(run.store, run.id, status)
        run_lifecycle.close(run.store, run.parent_id, status)
    except Exception:
        if status == "FINISHED":
            raise
        log.exception("%s: the run couldn't be closed", run.stage)  # what went wrong before matters more


def _peak_mib() -> float:
    """Return the most memory that this process has held so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)


def _link(run: Run, facts: Facts) -> None:
    try:
        cached_stages.link_stages(run.store, facts, run_id=run.id, parent_id=run.parent_id)
    except Exception:
        # The work is done, and DVC's files may have been edited during hours of it: no reason to lose it.
        log.exception("%s: the run isn't linked to the other stages", run.stage)
