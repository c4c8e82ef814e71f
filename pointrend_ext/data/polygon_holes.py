"""Holes written as polygons: COCO's format knows none, and fills them.

Converters that trace the outlines of a mask write the inner ones like the outer ones.
"""

from collections.abc import Sequence
from itertools import permutations

import numpy as np


def has_polygon_inside(polygons: Sequence[Sequence[float]]) -> bool:
    """Tell whether a polygon of one object lies within another one, with all its corners.

    Args:
        polygons: of one object, each a flat list x, y, x, y, ... of at least 3 finite corners.
    """
    if len(polygons) < 2:
        return False
    # Plain Python: nearly all pairs end here, and NumPy takes longer for a few numbers.
    bounds = [(min(p[::2]), min(p[1::2]), max(p[::2]), max(p[1::2])) for p in polygons]
    return any(
        a[0] < b[0] and a[1] < b[1] and a[2] > b[2] and a[3] > b[3] and _is_inside(inner, outer)
        for (a, outer), (b, inner) in permutations(zip(bounds, polygons, strict=True), 2)
    )


def _is_inside(inner: Sequence[float], outer: Sequence[float]) -> bool:
    """Cast a ray to the left of every corner and count the edges that it crosses."""
    x, y = np.asarray(inner, np.float64).reshape(-1, 2).T[:, :, None]  # (P, 1) each
    outline = np.asarray(outer, np.float64).reshape(-1, 2)  # (K, 2)
    (x0, y0), (x1, y1) = outline.T, np.roll(outline, -1, axis=0).T
    is_level = (y0 <= y) != (y1 <= y)  # (P, K)
    rise = np.where(y1 == y0, 1, y1 - y0)
    crossings = is_level & (x > x0 + (y - y0) / rise * (x1 - x0))
    return bool((crossings.sum(axis=1) % 2 == 1).all())
