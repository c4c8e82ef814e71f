"""Polygons drawn where they are, pixel for pixel as pycocotools draws them."""

from collections.abc import Sequence

import numpy as np
import pycocotools.mask as mask_util

from pointrend_ext.data.rle import run_lengths


def draw_polygons(
    polygons: Sequence[np.ndarray], size_hw: tuple[int, int]
) -> tuple[np.ndarray, int, int]:
    """Draw the polygons of an object, and keep its bounding box.

    A polygon that is moved by whole pixels is not always drawn as before: pycocotools rounds to a
    fifth of a pixel, and how depends on the coordinate. So it is drawn in the image, as run
    lengths, which costs its outline alone, and the runs are decoded in their bounding box.

    Args:
        polygons: (2 K,) float64 each, x and y in turn, in pixels.
        size_hw: of the image.

    Returns:
        The pixels (h, w) bool of the bounding box, its top and its left edge; no pixels where
        nothing is drawn.
    """
    rle = mask_util.merge(mask_util.frPyObjects(list(polygons), *size_hw)) if polygons else None
    ends = np.cumsum(run_lengths(rle["counts"]) if rle else [0])  # the runs go down the columns
    stops, height = ends[1::2], size_hw[0]
    starts = ends[::2][: len(stops)]
    if not len(stops):
        return np.zeros((0, 0), dtype=bool), 0, 0
    columns, tops = np.divmod(starts, height)
    last_columns, lasts = np.divmod(stops - 1, height)
    left, right = columns[0], last_columns[-1] + 1
    top, bottom = tops.min(), lasts.max() + 1
    if (last_columns > columns).any():  # a run around a corner touches both edges
        top, bottom = 0, height
    side = bottom - top
    begins = (columns - left) * side + tops - top
    steps = np.zeros((right - left) * side + 1, dtype=np.int8)
    steps[begins] = 1
    steps[begins + stops - starts] -= 1  # the next run may begin there
    inside = np.cumsum(steps[:-1], dtype=np.int8).view(bool)
    return inside.reshape(right - left, side).T, int(top), int(left)
