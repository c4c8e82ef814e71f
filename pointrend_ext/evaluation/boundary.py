"""The boundary of a binary mask (Boundary IoU: Cheng et al., CVPR 2021, section 4)."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pycocotools.mask as mask_util

__all__ = ["DILATION_RATIO", "boundary_width", "mask_boundary", "rle_boundary"]

DILATION_RATIO = 0.02
"""Width of the boundary in units of the image diagonal, as in the paper."""


def boundary_width(size_hw: tuple[int, int], ratio: float = DILATION_RATIO) -> int:
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

    Distances are Chebyshev (the larger of the row and column offset). What lies beyond the image
    counts as outside the mask, so a mask that fills the image has a boundary along its border.

    Args:
        mask: (H, W) bool or uint8 of zeros and ones.
        width: the distance d in pixels, at least 1; see ``boundary_width``.

    Returns:
        (H, W) uint8 of zeros and ones, a part of the mask.

    Raises:
        ValueError: the width is below 1.
    """
    if width < 1:
        raise ValueError(f"A boundary is at least 1 pixel wide, not {width}.")
    mask = np.ascontiguousarray(mask, dtype=np.uint8)
    if min(mask.shape) <= 2 * width:
        return mask.copy()  # no pixel is further than that from both ends
    window = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    interior = cv2.erode(mask, window, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return mask - interior


def rle_boundary(rle: dict[str, Any], width: int) -> dict[str, Any]:
    """Return the boundary of a run-length mask, as a run-length mask.

    Args:
        rle: compressed run-length mask in COCO's format.
        width: as in ``mask_boundary``.

    Returns:
        Compressed run-length mask of the same size.
    """
    # Beyond its box a mask is empty: as good as the end of the image, and much less to erode.
    x, y, w, h = mask_util.toBbox(rle).astype(int)
    if min(w, h) <= 2 * width:
        return rle
    mask = mask_util.decode(rle)
    part = mask[y : y + h, x : x + w]
    part[...] = mask_boundary(part, width)
    return mask_util.encode(mask)
