"""Masks as polygons along pixel edges, and back by the rule that pycocotools and CVAT fill by."""

from annotator.polygons.alignment import align
from annotator.polygons.outlines import MIN_IOU, Limits, PolygonPart, Polygons, polygonize
from annotator.polygons.rings import Ring, area, fill, fill_all
from annotator.polygons.validity import crosses_itself

__all__ = [
    "MIN_IOU",
    "Limits",
    "PolygonPart",
    "Polygons",
    "Ring",
    "align",
    "area",
    "crosses_itself",
    "fill",
    "fill_all",
    "polygonize",
]
