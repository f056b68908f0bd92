"""Stores of this tool, as labels to read."""
