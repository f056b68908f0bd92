"""Instances of all frames in, tracks out."""

from annotator.tracking.association import associate

__all__ = ["associate"]
