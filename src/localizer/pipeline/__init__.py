"""The pipeline as DVC and git see it: stages, digests, commits; MLflow is not needed."""
