"""Detecting how an undescribed file is written: its columns and its box encoding."""
