"""What the MLflow stores tell of runs that have ended."""
