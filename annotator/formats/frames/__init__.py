"""frames.csv: which frame a label belongs to."""
