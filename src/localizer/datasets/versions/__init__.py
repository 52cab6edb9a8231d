"""The versions of a data set that git and DVC have."""
