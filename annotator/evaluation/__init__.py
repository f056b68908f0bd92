"""Predictions against truth: one table of overlaps a frame, and metrics that follow from it."""

from annotator.evaluation.overlap import Objects, Overlap, Regions

__all__ = ["Objects", "Overlap", "Regions"]
