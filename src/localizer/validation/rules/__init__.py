"""What is checked: one row of a table a rule."""
