"""Read models: pure folds over the log (they arrive with the read side)."""
