"""What version 0.1.0 called columns, so that its tables, in git, DVC's cache and MLflow, can still be read."""

COLUMNS = {"side": "split", "wanted": "expected"}
