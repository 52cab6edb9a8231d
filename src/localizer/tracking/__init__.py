"""What a stage did, in MLflow: one run per stage, below one run per execution of the pipeline.

Nothing heavy is imported before `stage_run` starts. Only this package imports mlflow.
"""

from localizer.tracking.errors import StoreError
from localizer.tracking.run import Run, stage_run
from localizer.tracking.stage_lock import terminate_with_dvc, terminate_with_parent
from localizer.tracking.store import main_checkout

__all__ = ["Run", "StoreError", "main_checkout", "stage_run", "terminate_with_dvc", "terminate_with_parent"]
