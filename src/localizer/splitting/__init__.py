"""Splitting images into train, validation, calibration and test, and the report on it."""
