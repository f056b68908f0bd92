"""Instances of all frames in, tracks out."""
