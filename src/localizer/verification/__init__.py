"""Rerun the committed pipeline in a clean clone and compare every output with the workspace, byte by byte."""
