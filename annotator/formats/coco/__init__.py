"""COCO JSON, and bare lists of results."""
