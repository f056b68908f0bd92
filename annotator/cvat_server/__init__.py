"""Runs to a CVAT server, and corrections back."""
