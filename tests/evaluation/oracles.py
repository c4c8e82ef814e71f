"""Slow oracles of metrics: python loops, nothing of the package."""

from __future__ import annotations

import numpy as np


def slow_boundary(mask, d):
    """Pixels of a mask from which one outside it, or of no image, is at distance d or less."""
    height, width = mask.shape
    out = np.zeros_like(mask)
    for y, x in np.argwhere(mask):
        rows, cols = range(y - d, y + d + 1), range(x - d, x + d + 1)
        within = rows[0] >= 0 and cols[0] >= 0 and rows[-1] < height and cols[-1] < width
        out[y, x] = not (within and mask[y - d : y + d + 1, x - d : x + d + 1].all())
    return out
