"""The checks of annotations and images: rules, Great Expectations, findings, the summary."""
