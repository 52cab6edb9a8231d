"""What a stage did, kept in MLflow: a run for the stage, under one run for the execution of the pipeline.

Nothing heavy is imported before `stage_run` starts; MLflow is imported by this package alone.
"""

from localizer.tracking.run import Run, stage_run
from localizer.tracking.stage_lock import end_with_dvc, end_with_parent
from localizer.tracking.store import StoreError, main_checkout

__all__ = ["Run", "StoreError", "end_with_dvc", "end_with_parent", "main_checkout", "stage_run"]
