"""Sub-pixel contours of masks: the one place that says where a mask's boundary lies.

Frame: absolute pixels (x, y), x to the right, y downwards. Pixel (row i, column j) covers [j, j+1)
x [i, i+1), its centre is (j + 0.5, i + 0.5), and an H x W mask spans [0, W] x [0, H]. The boundary
of a mask is the set of pixel edges between an inside and an outside pixel; everything beyond the
image is outside.
"""

from __future__ import annotations

import cv2
import numpy as np


def mask_contours(mask: np.ndarray) -> list[np.ndarray]:
    """Trace the closed boundary polygons of a mask, those of holes included.

    They join the midpoints of the pixel edges between inside and outside (marching squares): at
    most 0.36 px from the exact boundary and free of its staircase. Holes run the other way than
    outer boundaries; inside pixels that touch at a corner alone are joined.

    Args:
        mask: (H, W), as in ``binarize``.

    Returns:
        List of (K, 2) float64 polygons, (x, y) in pixels, not repeating the first point. Points on
        straight stretches are left out. Empty for an empty mask.
    """
    inside = binarize(mask)
    top, left, bottom, right = window_of(inside)
    if bottom == 0:
        return []
    # A grid of half pixels, on which pixel centres, the middles of edges and corners are points. A
    # point is inside when half of the pixels that touch it are, so that ``findContours``, which
    # follows the outermost inside points, meets the middles of the boundary's edges.
    window = np.pad(inside[top:bottom, left:right], 1).astype(np.uint8)
    quarters = window.repeat(2, axis=0).repeat(2, axis=1)
    touching = quarters[1:, 1:] + quarters[1:, :-1] + quarters[:-1, 1:] + quarters[:-1, :-1]
    points = (touching >= 2).astype(np.uint8)
    found, _ = cv2.findContours(points, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    return [(contour[:, 0] - 1) / 2 + (left, top) for contour in found]


def binarize(masks: np.ndarray) -> np.ndarray:
    """Return where masks are inside: non-zero integers, probabilities of 0.5 and above.

    Args:
        masks: any shape.

    Returns:
        bool array of the same shape.
    """
    masks = np.asarray(masks)
    return masks >= 0.5 if np.issubdtype(masks.dtype, np.floating) else masks.astype(bool)


def window_of(inside: np.ndarray) -> tuple[int, int, int, int]:
    """Return top, left, bottom, right around all true pixels of (H, W) bool; zeros if none is."""
    rows = np.flatnonzero(inside.any(axis=1))
    if rows.size == 0:
        return 0, 0, 0, 0
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(inside[top:bottom].any(axis=0))
    return top, int(columns[0]), bottom, int(columns[-1]) + 1
