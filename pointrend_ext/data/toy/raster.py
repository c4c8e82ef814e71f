"""Exact masks and anti-aliased coverage of outlines; the one place that decides "inside".

Coordinates are continuous pixels: pixel ``(row i, column j)`` covers ``[j, j + 1) x [i, i + 1)``
and has its centre at ``(x, y) = (j + 0.5, i + 0.5)``. Inside are the pixels that pycocotools, which
all readers of COCO files use, finds in a polygon: those whose centre is inside, vertices being
rounded to a fifth of a pixel. The outlines of a shape are taken together by the even-odd rule, so
that the second one cuts a hole.
"""

from collections.abc import Sequence

import numpy as np
import pycocotools.mask as mask_util
from numpy.typing import NDArray

_FINER = 4  # sub-pixels per pixel and axis, where coverage is measured

Outline = NDArray[np.float64]
"""(V, 2) closed polygon, vertices (x, y) in pixels, last vertex not repeated."""


def rasterize(outlines: Sequence[Outline], size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask of the pixels that are inside (rule in the module docstring).

    Args:
        outlines: polygons, at least one, taken together by the even-odd rule; may leave the image.
        size_hw: height and width of the mask in pixels.

    Returns:
        (H, W) boolean mask.
    """
    polygons = [outline.ravel().tolist() for outline in outlines]
    masks = mask_util.decode(mask_util.frPyObjects(polygons, *size_hw))  # (H, W, outlines)
    return np.bitwise_xor.reduce(masks, axis=2).astype(bool)


def crop_of(outlines: Sequence[Outline], size_hw: tuple[int, int]) -> tuple[slice, slice]:
    """Return the (rows, columns) slices of the image that the outlines can touch; may be empty."""
    points = np.concatenate(outlines)
    limit = size_hw[::-1]
    left, top = np.clip(np.floor(points.min(axis=0)), 0, limit).astype(int).tolist()
    right, bottom = np.clip(np.ceil(points.max(axis=0)), 0, limit).astype(int).tolist()
    return slice(top, bottom), slice(left, right)


def coverage(outlines: Sequence[Outline], crop: tuple[slice, slice]) -> NDArray[np.float32]:
    """Return how much of each pixel the outlines cover, for anti-aliased painting.

    Args:
        outlines: polygons in pixels of the image.
        crop: (rows, columns) of the image to evaluate, not empty.

    Returns:
        (h, w) float32 in [0, 1] for the pixels of ``crop``.
    """
    rows, columns = crop
    height, width = rows.stop - rows.start, columns.stop - columns.start
    fine = rasterize(
        [(outline - (columns.start, rows.start)) * _FINER for outline in outlines],
        (height * _FINER, width * _FINER),
    )
    # Whole rows and then columns are added, faster by far than over axes of a reshaped array.
    counts = fine.view(np.uint8)
    counts = np.add.reduce([counts[i::_FINER] for i in range(_FINER)], dtype=np.uint8)
    counts = np.add.reduce([counts[:, j::_FINER] for j in range(_FINER)], dtype=np.uint8)
    return counts.astype(np.float32) / np.float32(_FINER**2)
