"""Versions of a data set in git and DVC."""
