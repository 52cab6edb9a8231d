"""Comparison of results: groups of runs, paired differences, and the promotion gate."""
