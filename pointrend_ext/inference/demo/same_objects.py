"""Colours that stay with an object: from frame to frame, and from model to model."""

import numpy as np
import torch
from detectron2.structures import Boxes, pairwise_iou

from pointrend_ext.inference.prediction import Prediction
from pointrend_ext.visualization import colors_of
from pointrend_ext.visualization.compare import greedy_pairs

__all__ = ["ObjectColors"]


class ObjectColors:
    """Numbers objects so that one seen before, by its class and its box, keeps its number."""

    def __init__(self) -> None:
        self._boxes = Boxes(torch.zeros(0, 4))
        self._classes = self._numbers = np.zeros(0, np.int64)
        self._next = 0

    def __call__(self, prediction: Prediction) -> np.ndarray:
        """Return colours (R, 3) uint8 RGB of the instances."""
        boxes = Boxes(torch.as_tensor(prediction.objects.boxes))
        classes = prediction.objects.classes
        same_class = classes[:, None] == self._classes[None]
        iou = pairwise_iou(boxes, self._boxes).numpy() * same_class
        numbers = self._next + np.arange(len(classes))
        rows, columns = greedy_pairs(iou)
        is_new = np.isin(np.arange(len(classes)), rows, invert=True)
        numbers[is_new] = self._next + np.arange(is_new.sum())
        numbers[rows] = self._numbers[columns]
        self._next += int(is_new.sum())
        self._boxes, self._classes, self._numbers = boxes, classes, numbers
        return colors_of(numbers)
