"""The rules, one row of a table each, and the checks of a whole file that no expectation can express."""
