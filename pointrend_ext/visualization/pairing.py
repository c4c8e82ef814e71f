"""Which objects of two sets are the same."""

from __future__ import annotations

import numpy as np

__all__ = ["SAME_OBJECT_IOU", "greedy_pairs"]

SAME_OBJECT_IOU = 0.3
"""IoU from which an object keeps its colour in another picture."""


def greedy_pairs(iou: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pair objects up by descending IoU, from ``SAME_OBJECT_IOU`` on, each at most once.

    Args:
        iou: (R, S).

    Returns:
        (P,) rows and (P,) columns of the pairs.
    """
    pairs: dict[int, int] = {}
    for pair in np.argsort(-iou, axis=None, kind="stable"):
        i, j = divmod(int(pair), iou.shape[1])
        if iou[i, j] < SAME_OBJECT_IOU:
            break
        if i not in pairs and j not in pairs.values():
            pairs[i] = j
    return np.array(list(pairs), np.int64), np.array(list(pairs.values()), np.int64)
