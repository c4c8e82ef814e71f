"""Colours that stay with an object: from frame to frame, and from model to model."""

from __future__ import annotations

import numpy as np

from pointrend_ext.inference.prediction import Prediction
from pointrend_ext.visualization import colors_of

__all__ = ["ObjectColors"]

_SAME_OBJECT_IOU = 0.3


class ObjectColors:
    """Numbers objects so that one seen before, by its class and its box, keeps its number."""

    def __init__(self) -> None:
        self._boxes = np.zeros((0, 4), np.float32)
        self._classes = self._numbers = np.zeros(0, np.int64)
        self._next = 0

    def __call__(self, prediction: Prediction) -> np.ndarray | None:
        """Return colours (R, 3) uint8 RGB of the instances; None of a semantic prediction."""
        if prediction.boxes is None:
            return None
        iou = _box_iou(prediction.boxes, self._boxes)
        iou[prediction.classes[:, None] != self._classes[None]] = 0
        numbers = np.full(len(prediction.boxes), -1, dtype=np.int64)
        for pair in np.argsort(-iou, axis=None, kind="stable"):
            i, j = divmod(int(pair), max(len(self._boxes), 1))
            if iou[i, j] < _SAME_OBJECT_IOU:
                break
            if numbers[i] < 0 and self._numbers[j] not in numbers:
                numbers[i] = self._numbers[j]
        new = np.flatnonzero(numbers < 0)
        numbers[new] = self._next + np.arange(len(new))
        self._next += len(new)
        self._boxes, self._classes, self._numbers = prediction.boxes, prediction.classes, numbers
        return colors_of(numbers)


def _box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return (len(a), len(b)) intersections over unions of boxes."""
    low, high = (
        np.maximum(a[:, None, :2], b[None, :, :2]),
        np.minimum(a[:, None, 2:], b[None, :, 2:]),
    )
    shared = np.clip(high - low, 0, None).prod(axis=2)
    area_a, area_b = (np.clip(x[:, 2:] - x[:, :2], 0, None).prod(axis=1) for x in (a, b))
    return shared / np.maximum(area_a[:, None] + area_b[None] - shared, 1e-9)
