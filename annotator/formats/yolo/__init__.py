"""YOLO text, read only."""
