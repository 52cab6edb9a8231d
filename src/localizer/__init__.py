"""A reproducible pipeline that finds the one object in a picture."""
