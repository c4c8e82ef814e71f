"""Exact masks and anti-aliased coverage of outlines; the one place that decides "inside".

Pixel rule: coordinates are continuous pixels, pixel ``(row i, column j)`` covers
``[j, j + 1) x [i, i + 1)`` and has its centre at ``(x, y) = (j + 0.5, i + 0.5)``. A pixel is inside
when its centre is inside all outlines taken together by the even-odd rule, so that the second
outline of a shape cuts a hole. A centre exactly on an outline is inside on left and upper edges
and outside on right and lower ones: shapes that share an edge never share a pixel.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Outline = NDArray[np.float64]
"""(V, 2) closed polygon, vertices (x, y) in pixels, last vertex not repeated."""


def rasterize(outlines: Sequence[Outline], size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask of the pixels whose centre is inside (rule in the module docstring).

    Every edge toggles, in each row whose centre line it crosses, all pixels to the right of the
    crossing; a cumulative sum modulo two along the row then is the even-odd rule.

    Args:
        outlines: polygons, taken together by the even-odd rule; may leave the image.
        size_hw: height and width of the mask in pixels.

    Returns:
        (H, W) boolean mask.
    """
    height, width = size_hw
    toggles = np.zeros((height, width + 1), dtype=np.uint8)
    if outlines:
        start = np.concatenate(outlines)
        end = np.concatenate([np.roll(outline, -1, axis=0) for outline in outlines])
        rows, columns = _crossings(start, end, size_hw)
        np.add.at(toggles, (rows, columns), 1)
    return (np.cumsum(toggles, axis=1, dtype=np.uint8)[:, :width] & 1).astype(bool)


def _crossings(
    start: Outline, end: Outline, size_hw: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (rows, first toggled columns) of all crossings of edges with row centre lines."""
    upward = start[:, 1] > end[:, 1]
    top = np.where(upward[:, None], end, start)
    bottom = np.where(upward[:, None], start, end)
    first = np.clip(np.ceil(top[:, 1] - 0.5), 0, size_hw[0]).astype(np.int64)
    stop = np.clip(np.ceil(bottom[:, 1] - 0.5), 0, size_hw[0]).astype(np.int64)
    counts = stop - first
    edge = np.repeat(np.arange(len(counts)), counts)
    rows = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts)
    along = (rows + 0.5 - top[edge, 1]) / (bottom[edge, 1] - top[edge, 1])
    x = top[edge, 0] + along * (bottom[edge, 0] - top[edge, 0])
    return rows, np.clip(np.ceil(x - 0.5), 0, size_hw[1]).astype(np.int64)


def crop_of(outlines: Sequence[Outline], size_hw: tuple[int, int]) -> tuple[slice, slice]:
    """Return the (rows, columns) slices of the image that the outlines can touch; may be empty."""
    points = np.concatenate(outlines)
    low = np.floor(points.min(axis=0)).astype(int)
    high = np.ceil(points.max(axis=0)).astype(int)
    rows = slice(int(np.clip(low[1], 0, size_hw[0])), int(np.clip(high[1], 0, size_hw[0])))
    columns = slice(int(np.clip(low[0], 0, size_hw[1])), int(np.clip(high[0], 0, size_hw[1])))
    return rows, columns


def coverage(
    outlines: Sequence[Outline], crop: tuple[slice, slice], supersample: int = 4
) -> NDArray[np.float32]:
    """Return how much of each pixel the outlines cover, for anti-aliased painting.

    Args:
        outlines: polygons in pixels of the image.
        crop: (rows, columns) of the image to evaluate, not empty.
        supersample: sub-pixels per pixel and axis.

    Returns:
        (h, w) float32 in [0, 1] for the pixels of ``crop``.
    """
    rows, columns = crop
    height, width = rows.stop - rows.start, columns.stop - columns.start
    origin = np.array([columns.start, rows.start], dtype=np.float64)
    fine = rasterize(
        [(outline - origin) * supersample for outline in outlines],
        (height * supersample, width * supersample),
    )
    return cv2.resize(fine.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
