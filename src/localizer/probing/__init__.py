"""What image files are: metadata, hashes, near-duplicates; nothing of annotations."""
