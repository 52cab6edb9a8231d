"""Where a model, an image or a run comes from, and what it was used for."""
