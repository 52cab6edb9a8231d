"""Cross-validation: the folds as experiments in DVC's queue, and one evaluation of all their test predictions."""
