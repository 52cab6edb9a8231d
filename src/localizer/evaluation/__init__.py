"""Metrics of a model on the test split: intervals, baselines, slices, likely label errors, report."""
