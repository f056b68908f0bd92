"""A rendered street with exact ground truth: for the demo, for tests and benchmarks, and as training data."""

from annotator.synthetic.drive import render, write_drive
from annotator.synthetic.street import Street, SyntheticFrame

__all__ = ["Street", "SyntheticFrame", "render", "write_drive"]
