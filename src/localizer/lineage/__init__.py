"""Provenance: what a model, an image or a run was made from, and what used it."""
