"""The formats that annotations come in: each reader yields a row a box, as it stands in the file."""
