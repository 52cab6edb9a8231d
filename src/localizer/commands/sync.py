"""`localizer sync`: send the runs that an MLflow server lacks."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """None: MLFLOW_TRACKING_URI names the server."""


def run(options: Options) -> int:
    """Send the runs that the server at MLFLOW_TRACKING_URI doesn't have yet, each once, with their own times.

    Example: MLFLOW_TRACKING_URI=http://mlflow.example:5000 localizer sync
    """
    from localizer.tracking.replication.background_sync import sync

    address, sent = sync()
    print(f"sent to {address}: {len(sent)} runs" if sent else f"{address} has all runs")
    return 0
