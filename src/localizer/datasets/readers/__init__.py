"""One module a format of annotations: each yields a row a box, as it stands in the file."""
