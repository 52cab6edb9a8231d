"""Copies of runs on an MLflow server, made beside the work."""
