"""Copies of the runs on an MLflow server."""
