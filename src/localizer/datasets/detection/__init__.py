"""How a file is written that nobody has described: its format, columns and box encoding."""
