"""Colours that stay with an object: from frame to frame, and from model to model."""

import numpy as np

from pointrend_ext.inference.prediction import Prediction
from pointrend_ext.visualization.colors import colors_of
from pointrend_ext.visualization.compare import greedy_pairs


class ObjectColors:
    """Numbers objects so that one seen before, by its class and its box, keeps its number."""

    def __init__(self) -> None:
        self._boxes = np.zeros((0, 4))
        self._classes = self._numbers = np.zeros(0, np.int64)
        self._next = 0

    def __call__(self, prediction: Prediction) -> np.ndarray:
        """Return colours (R, 3) uint8 RGB of the instances."""
        boxes, classes = prediction.objects.boxes, prediction.objects.classes
        same_class = classes[:, None] == self._classes[None]
        rows, columns = greedy_pairs(box_iou(boxes, self._boxes) * same_class)
        numbers = self._next + np.arange(len(classes))
        is_new = np.isin(np.arange(len(classes)), rows, invert=True)
        numbers[is_new] = self._next + np.arange(is_new.sum())
        numbers[rows] = self._numbers[columns]
        self._next += int(is_new.sum())
        self._boxes, self._classes, self._numbers = boxes, classes, numbers
        return colors_of(numbers)


def box_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the IoU (R, S) of boxes (R, 4) and (S, 4): left, top, right, bottom."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = (high - low).clip(0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (first, second)]
    return shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-12)
