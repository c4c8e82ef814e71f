"""Choosing where to zoom: the place on an object's boundary where two predictions differ most."""

import cv2
import numpy as np

from pointrend_ext.visualization.shapes import binarize


def pick_zoom_window(
    mask_a: np.ndarray, mask_b: np.ndarray, truth: np.ndarray, size_px: int
) -> tuple[int, int, int, int]:
    """Choose the square window on the object's boundary in which two predictions differ most.

    Windows are centred on boundary pixels. Windows are moved inwards at the image border. Among
    windows with equally many differing pixels the one with the differences closest to its middle
    wins, then the one with most of the true boundary, then the uppermost, then the leftmost;
    identical predictions therefore give a piece of boundary too.

    Args:
        mask_a: (H, W) first prediction, as in ``binarize``.
        mask_b: (H, W) second prediction.
        truth: (H, W) the object; when it is empty, the union of both predictions stands in for it.
        size_px: edge length in pixels, 1 or more; reduced to the shorter image edge.

    Returns:
        left, top, right, bottom in whole pixels, inside the image.

    Raises:
        ValueError: all masks are empty.
    """
    a, b, target = binarize(mask_a), binarize(mask_b), binarize(truth)
    target = target if target.any() else a | b
    if not target.any():
        raise ValueError("pick_zoom_window: all three masks are empty; there is no boundary.")
    height, width = target.shape
    size = min(int(size_px), height, width)
    padded = np.pad(target.astype(np.uint8), 1)  # beyond the image is outside
    boundary = target & (cv2.erode(padded, np.ones((3, 3), np.uint8))[1:-1, 1:-1] == 0)

    y, x = np.nonzero(boundary)
    tops, lefts = np.clip(y - size // 2, 0, height - size), np.clip(x - size // 2, 0, width - size)
    places = tuple(np.unique([tops, lefts], axis=1))  # sorted by top, then left
    differs = a ^ b
    differing, border = (_window_sums(m, size)[places] for m in (differs, boundary))
    # Sums of sums weigh less and less away from the middle.
    inner = (size + 1) // 2
    middle = _window_sums(_window_sums(differs, inner), size - inner + 1)[places]
    # The last key of lexsort counts most; it is stable, so equal windows stay in raster order.
    best = np.lexsort([-border, -middle, -differing])[0]
    top, left = (int(place[best]) for place in places)
    return left, top, left + size, top + size


def _window_sums(values: np.ndarray, size: int) -> np.ndarray:
    """Return (H - size + 1, W - size + 1) sums over all windows, exact integers."""
    total = np.pad(values.astype(np.int64), ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    return total[size:, size:] - total[:-size, size:] - total[size:, :-size] + total[:-size, :-size]
