"""Runs of the past, read from the MLflow stores."""
