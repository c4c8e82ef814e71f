"""The boundary of masks (Boundary IoU: Cheng et al., CVPR 2021, section 4) and of label maps.

All distances are Chebyshev distances (the larger of the row and column offset) between the centres
of pixels. What lies beyond the image belongs to no mask, so that a mask that fills the image has a
boundary along its border.
"""

import math
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pycocotools.mask as mask_util

DILATION_RATIO = 0.02
"""Width of the boundary in units of the image diagonal, as in the paper."""


def boundary_width(size_hw: tuple[int, ...], ratio: float = DILATION_RATIO) -> int:
    """Return the boundary width d of an image, in pixels, at least 1.

    Halves are rounded to even, as in the authors' implementation: d is 12 for the 12.5 of a
    500 x 375 image.

    Args:
        size_hw: (H, W) of the image.
        ratio: width in units of the diagonal.
    """
    return max(1, round(ratio * math.hypot(*size_hw)))


def mask_boundary(mask: np.ndarray, width: int) -> np.ndarray:
    """Keep the pixels of a mask that lie within a distance of a pixel outside the mask.

    Args:
        mask: (H, W) bool or uint8 of zeros and ones.
        width: the distance d in pixels, at least 1; see ``boundary_width``.

    Returns:
        (H, W) uint8 of zeros and ones, a part of the mask.
    """
    mask = np.ascontiguousarray(mask, dtype=np.uint8)
    window = square(width, mask)
    return mask - cv2.erode(mask, window, borderType=cv2.BORDER_CONSTANT, borderValue=(0,))


def label_boundary(labels: np.ndarray, width: int) -> np.ndarray:
    """Find the boundaries of all masks of a label map at once.

    Args:
        labels: (H, W) unsigned integers.
        width: as in ``mask_boundary``.

    Returns:
        (H, W) bool, another label or the outside of the image is within the distance. Without
        meaning for the highest value that the type has.
    """
    window, outside = square(width, labels), float(np.iinfo(labels.dtype).max)
    lowest = cv2.erode(labels, window)  # without the outside
    highest = cv2.dilate(labels, window, borderType=cv2.BORDER_CONSTANT, borderValue=(outside,))
    return (lowest != labels) | (highest != labels)


def rle_boundary(rle: dict[str, Any], width: int) -> dict[str, Any]:
    """Return what ``mask_boundary`` keeps of a compressed run-length mask, as such a mask."""
    # Beyond its box a mask is empty: as good as the end of the image, and much less to erode.
    x, y, w, h = mask_util.toBbox(rle).astype(int)
    if min(w, h) <= 2 * width:
        return rle  # no pixel is further than that from both ends
    mask = mask_util.decode(rle)
    part = mask[y : y + h, x : x + w]
    part[...] = mask_boundary(part, width)
    return mask_util.encode(mask)


def pair_boundary_iou(first: dict[str, Any], second: dict[str, Any], width: int) -> float:
    """Return the Boundary IoU of two compressed run-length masks, 0 where both are empty."""
    outlines = [rle_boundary(rle, width) for rle in (first, second)]
    return float(mask_util.iou(outlines[:1], outlines[1:], [0])[0, 0])


def limit_by_boundary(
    ious: np.ndarray,
    rle_of_prediction: Callable[[int], dict[str, Any]],
    rle_of_truth: Callable[[int], dict[str, Any]],
    size_hw: tuple[int, int],
    *,
    lowest: float,
    is_crowd: np.ndarray,
) -> None:
    """Turn mask IoU into the IoU of Boundary AP: the smaller of it and the Boundary IoU.

    Of crowds the mask IoU stays, and so do IoUs below the lowest threshold: the smaller of such
    a one and another number matches nothing either.

    Args:
        ious: (D, G) float64, mask IoU; changed.
        rle_of_prediction: compressed run-length mask by row.
        rle_of_truth: likewise by column.
        size_hw: (H, W) of the image.
        lowest: the lowest IoU of a match.
        is_crowd: (G,) bool.
    """
    can_match = (ious >= lowest) & ~is_crowd
    rows, columns = np.flatnonzero(can_match.any(axis=1)), np.flatnonzero(can_match.any(axis=0))
    if len(rows) == 0:
        return
    width = boundary_width(size_hw)
    boundary_ious = mask_util.iou(
        [rle_boundary(rle_of_prediction(row), width) for row in rows.tolist()],
        [rle_boundary(rle_of_truth(column), width) for column in columns.tolist()],
        [0] * len(columns),
    )
    block = np.ix_(rows, columns)
    ious[block] = np.minimum(ious[block], boundary_ious)


def square(distance: int, image: np.ndarray) -> np.ndarray:
    """Return the window of all pixels within a distance, not larger than the image needs."""
    side = 2 * min(distance, max(image.shape)) + 1
    return np.ones((side, side), dtype=np.uint8)
