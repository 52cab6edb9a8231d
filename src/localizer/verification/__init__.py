"""Proving that the committed pipeline gives, in a clean clone, the bits that the workspace has."""
