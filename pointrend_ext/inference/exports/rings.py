"""The outline of a mask along the edges of its pixels: rings of whole numbers, no pixel lost.

OpenCV's contours go through pixel centres, which makes every object half a pixel smaller.
"""

from collections import defaultdict

import cv2
import numpy as np

Part = list[np.ndarray]
"""One connected piece: its outer ring, then its holes; (K, 2) int32 each, x and y of corners."""

_RIGHT, _DOWN, _LEFT, _UP = range(4)
Vertex = tuple[int, int]


def mask_parts(mask: np.ndarray) -> list[Part]:
    """Trace a mask (H, W) bool.

    Pixels that touch at a corner alone are different pieces. Outer rings run clockwise as seen on
    the screen, holes the other way; no corner lies on a straight line. Drawn with the pixels whose
    centre is inside, the rings give the mask.

    Returns:
        Pieces from top to bottom; coordinates are those of pixel edges, from 0 to W and H.
    """
    number, pieces = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    outer: dict[int, np.ndarray] = {}
    holes: dict[int, list[np.ndarray]] = defaultdict(list)
    for ring in _rings(mask):
        (x0, y0), (x1, _) = ring[0].tolist(), ring[1].tolist()  # a horizontal edge
        label = int(pieces[y0, x0] if x1 > x0 else pieces[y0 - 1, x0 - 1])  # to the right of it
        x, y = ring.astype(np.int64).T
        if (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() > 0:  # twice the area
            outer[label] = ring
        else:
            holes[label].append(ring)
    return [[outer[label], *holes[label]] for label in range(1, number)]


def _rings(mask: np.ndarray) -> list[np.ndarray]:
    """Chain the edges of a mask, which lies to their right; each ring begins with a level edge."""
    level = _level_edges(mask)
    ends, rings = {**level, **_upright_edges(mask)}, []
    for first in level:
        ring, key = [], first
        while key in ends:
            ring.append(key[0])
            corner, direction = ends.pop(key), key[1]
            # To the right where pieces touch at a corner; elsewhere there is one way.
            right = (corner, (direction + 1) % 4)
            key = right if right in ends or right == first else (corner, (direction - 1) % 4)
        if ring:
            rings.append(np.array(ring, np.int32))
    return rings


def _level_edges(mask: np.ndarray) -> dict[tuple[Vertex, int], Vertex]:
    """Return the ends of level edges by where they begin: right above a pixel, left below one."""
    padded = np.pad(mask, ((1, 1), (0, 0))).astype(np.int8)
    found = {}
    for step, direction in ((1, _RIGHT), (-1, _LEFT)):
        runs = np.pad(np.diff(padded, axis=0) == step, ((0, 0), (1, 1))).astype(np.int8)
        change = np.diff(runs, axis=1)
        rows, begins = np.nonzero(change == 1)
        stops = np.nonzero(change == -1)[1]
        for y, x0, x1 in zip(rows.tolist(), begins.tolist(), stops.tolist(), strict=True):
            first, last = ((x0, y), (x1, y)) if step == 1 else ((x1, y), (x0, y))
            found[first, direction] = last
    return found


def _upright_edges(mask: np.ndarray) -> dict[tuple[Vertex, int], Vertex]:
    """Return those of upright edges: they are the level ones of the transposed mask, mirrored."""
    turned = {_RIGHT: _UP, _LEFT: _DOWN}
    # In the transposed mask a pixel lies to the right of an edge, in the mask to its left.
    return {
        (end[::-1], turned[direction]): start[::-1]
        for (start, direction), end in _level_edges(mask.T).items()
    }
