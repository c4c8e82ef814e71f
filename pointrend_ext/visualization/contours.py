"""Sub-pixel contours of masks: the one place that says where a mask's boundary lies.

Frame: absolute pixels (x, y), x to the right, y downwards. Pixel (row i, column j) covers [j, j+1)
x [i, i+1), its centre is (j + 0.5, i + 0.5), and an H x W mask spans [0, W] x [0, H]. The boundary
of a mask is the set of pixel edges between an inside and an outside pixel; everything beyond the
image is outside.
"""

from __future__ import annotations

import numpy as np

_LEVEL = 0.5
# Directions 0 right, 1 down, 2 left, 3 up: (dx, dy) of an edge that has the inside on its right
# hand.
_STEP_XY = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])
# From an edge's start vertex (x, y) to the (column, row) of the pixel on its right hand and on its
# left hand.
_INSIDE_XY = np.array([[0, 0], [-1, 0], [-1, -1], [0, -1]])
_OUTSIDE_XY = np.array([[0, -1], [0, 0], [-1, 0], [-1, -1]])


def mask_contours(mask: np.ndarray, *, midline: bool = True) -> list[np.ndarray]:
    """Trace the closed boundary polygons of a mask, those of holes included.

    Outer boundaries run clockwise on the screen and have a positive shoelace area (y points down),
    holes run the other way; inside pixels that touch at a corner alone are joined. With
    ``midline=False`` the signed areas of all polygons therefore sum to the number of inside pixels.

    Args:
        mask: (H, W) bool; integers (non-zero is inside); or floating-point probabilities in [0, 1]
            (0.5 and above is inside).
        midline: True joins the points at which the lines between neighbouring pixel centres cross
            the boundary (marching squares). For bool masks these are the midpoints of the pixel
            edges, at most 0.36 px from the exact boundary and free of its staircase; for
            probabilities they are interpolated to where the value is 0.5. False follows the pixel
            edges exactly.

    Returns:
        List of (K, 2) float64 polygons, (x, y) in pixels, not repeating the first point, in raster
        order of their first pixel edge. Points on straight stretches are left out. Empty for an
        empty mask.

    Raises:
        ValueError: ``mask`` is not two-dimensional.
    """
    mask = np.asarray(mask)
    if mask.ndim != 2:
        raise ValueError(f"mask_contours: mask has shape {mask.shape}; it must be (H, W).")
    inside = binarize(mask)
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if rows.size == 0:
        return []
    top, left = int(rows[0]), int(columns[0])
    window = np.s_[top : rows[-1] + 1, left : columns[-1] + 1]
    # One outside pixel all around; vertex (x, y) of the window is the corner between padded pixels
    # y, y+1 and x, x+1.
    padded = np.pad(inside[window], 1)
    start, direction, cycles = _linked_edges(padded)
    points = start.astype(np.float64)
    if midline:
        crossing = np.full(len(start), 0.5)
        if np.issubdtype(mask.dtype, np.floating):
            crossing = _crossings(mask, inside, start + (left, top), direction)
        inner, outer = _INSIDE_XY[direction], _OUTSIDE_XY[direction]
        points += inner + 0.5 + crossing[:, None] * (outer - inner)
    points += (left, top)
    return [_without_collinear(points[cycle]) for cycle in cycles]


def binarize(masks: np.ndarray) -> np.ndarray:
    """Return where masks are inside: non-zero integers, probabilities of 0.5 and above.

    Args:
        masks: any shape.

    Returns:
        bool array of the same shape.
    """
    masks = np.asarray(masks)
    return masks >= _LEVEL if np.issubdtype(masks.dtype, np.floating) else masks.astype(bool)


def _linked_edges(padded: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[list[int]]]:
    """Link the boundary edges of a mask that has one outside pixel all around.

    Returns start vertices (E, 2), directions (E,) and the cycles of edge indices.
    """
    # Edges from vertex (x, y) to (x+1, y) lie between the pixels above and below them, edges from
    # (x, y) to (x, y+1) between the pixels left and right of them.
    above = padded[:-1, 1:]
    below = right = padded[1:, 1:]
    left = padded[1:, :-1]
    height, width = padded.shape[0] - 1, padded.shape[1] - 1
    leaves = np.zeros((height, width, 4), dtype=bool)  # (vertex y, vertex x, direction)
    leaves[:, :, 0] = below & ~above
    leaves[:, :, 1] = left & ~right
    leaves[:, 1:, 2] = (above & ~below)[:, :-1]
    leaves[1:, :, 3] = (right & ~left)[:-1]

    y, x, direction = np.nonzero(leaves)
    start = np.stack([x, y], axis=1)
    end = start + _STEP_XY[direction]
    # At a vertex with two ways out (pixels touching at a corner) turning left joins the inside
    # pixels.
    turn = np.full(len(x), 1)
    for candidate in (0, -1):
        way = (direction + candidate) % 4
        turn = np.where(leaves[end[:, 1], end[:, 0], way], candidate, turn)
    number = np.zeros(leaves.shape, dtype=np.int64)
    number[y, x, direction] = np.arange(len(x))
    follower = number[end[:, 1], end[:, 0], (direction + turn) % 4].tolist()

    cycles: list[list[int]] = []
    seen = bytearray(len(x))
    for first in range(len(x)):
        cycle = []
        edge = first
        while not seen[edge]:
            seen[edge] = 1
            cycle.append(edge)
            edge = follower[edge]
        if cycle:
            cycles.append(cycle)
    return start, direction, cycles


def _crossings(
    probability: np.ndarray, inside: np.ndarray, start: np.ndarray, direction: np.ndarray
) -> np.ndarray:
    """Return at which fraction of the way to the outside pixel centre the value is 0.5."""
    height, width = inside.shape
    inner = start + _INSIDE_XY[direction]
    outer = start + _OUTSIDE_XY[direction]
    beyond = (outer < 0).any(axis=1) | (outer[:, 0] >= width) | (outer[:, 1] >= height)
    outer = np.clip(outer, 0, (width - 1, height - 1))
    high = probability[inner[:, 1], inner[:, 0]].astype(np.float64)
    low = np.nan_to_num(probability[outer[:, 1], outer[:, 0]].astype(np.float64))
    fall = np.where(beyond, 1.0, high - low)
    return np.where(beyond, 0.5, np.clip((high - _LEVEL) / fall, 0.0, 1.0))


def _without_collinear(points: np.ndarray) -> np.ndarray:
    to_here = points - np.roll(points, 1, axis=0)
    onward = np.roll(points, -1, axis=0) - points
    cross = to_here[:, 0] * onward[:, 1] - to_here[:, 1] * onward[:, 0]
    return points[np.abs(cross) > 1e-9]
