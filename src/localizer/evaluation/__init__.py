"""Measuring boxes: IoU, baselines and pictures."""
