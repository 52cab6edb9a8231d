"""The commands of `localizer`, one module each: its options and what it does."""
