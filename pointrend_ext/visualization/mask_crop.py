"""Masks without their empty surroundings, in NumPy alone."""

from typing import NamedTuple

import numpy as np


class MaskCrop(NamedTuple):
    """A mask without its empty surroundings.

    Attributes:
        values: (h, w), as ``mask_contours`` takes them; beyond them nothing is inside.
        top, left: where they begin, in pixels of the image.
    """

    values: np.ndarray
    top: int
    left: int


def binarize(masks: np.ndarray) -> np.ndarray:
    """Return where masks of any shape are inside: at non-zero integers, at 0.5 and above (bool)."""
    masks = np.asarray(masks)
    return masks >= 0.5 if np.issubdtype(masks.dtype, np.floating) else masks.astype(bool)


def window_of(inside: np.ndarray) -> tuple[int, int, int, int]:
    """Return top, left, bottom, right around all true pixels of (H, W) bool; zeros if none is."""
    rows = np.flatnonzero(inside.any(axis=1))
    if not len(rows):
        return 0, 0, 0, 0
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(inside[top:bottom].any(axis=0))
    return top, int(columns[0]), bottom, int(columns[-1]) + 1
