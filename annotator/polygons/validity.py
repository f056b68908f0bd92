"""Rings that are no simple outline, found by shapely."""

from __future__ import annotations

import numpy as np
import shapely

from annotator.polygons.rings import Ring, area

CROSSED = 0.5  # pixels of area that geometry and the ring's own sense must differ by


def crosses_itself(ring: Ring) -> bool:
    """Whether a ring crosses itself, as a bow tie, or goes around twice; going to a hole and back is no crossing."""
    polygon = shapely.Polygon(np.asarray(ring, np.float64))
    if polygon.is_valid:
        return False
    return abs(float(shapely.make_valid(polygon).area) - abs(area(ring))) > CROSSED
