"""Cityscapes: PNGs of ids, polygons, and results as the benchmark wants them."""
