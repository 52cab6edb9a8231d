"""Metadata of image files, hashes and near-duplicates; nothing of annotations."""
