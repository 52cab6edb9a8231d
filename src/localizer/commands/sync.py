"""`localizer sync`: send the runs that an MLflow server lacks."""

import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """None: MLFLOW_TRACKING_URI names the server."""


def run(options: argparse.Namespace) -> int:
    """Send the runs that the server at MLFLOW_TRACKING_URI doesn't have yet, each once, with their own times."""
    from localizer.tracking.replication.background_sync import sync

    address, sent = sync()
    print(f"sent to {address}: {len(sent)} runs" if sent else f"{address} has all runs")
    return 0
