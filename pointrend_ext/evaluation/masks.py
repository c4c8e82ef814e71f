"""Masks of annotations and of predictions as arrays, and how much two of them overlap."""

from typing import Any

import numpy as np
import pycocotools.mask as mask_util

from pointrend_ext.data.rle import compress_rle


def encoded(segmentation: Any, size_hw: tuple[int, int]) -> dict[str, Any]:
    """Return a ``segmentation`` of COCO's formats as compressed run lengths.

    Args:
        segmentation: polygons, a list of ``[x, y, x, y, ...]`` in pixels; or run lengths,
            compressed or not.
        size_hw: (H, W) of the image.

    Raises:
        ValueError: the run lengths are not those of an image of this size.
    """
    if isinstance(segmentation, list):
        return mask_util.merge(mask_util.frPyObjects(segmentation, *size_hw))
    return compress_rle(segmentation, size_hw)


def decode_mask(segmentation: Any, size_hw: tuple[int, int]) -> np.ndarray:
    """Decode what ``encoded`` takes; (H, W) bool."""
    return mask_util.decode(encoded(segmentation, size_hw)).astype(bool)


def mask_iou(first: np.ndarray, second: np.ndarray) -> float:
    """Return the intersection over union of two (H, W) bool masks; 0 where both are empty."""
    union = int(np.count_nonzero(first | second))
    return int(np.count_nonzero(first & second)) / max(union, 1)
