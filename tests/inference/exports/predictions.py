"""Predictions whose masks are known arrays: holes, several parts, corners, one pixel, none."""

import cv2
import numpy as np

from pointrend_ext.engine.classes import Classes
from pointrend_ext.inference.prediction import Prediction
from pointrend_ext.structures.cropped_masks import crop_mask

SIZE_HW = (160, 230)


class Masks(list):
    """Masks (H, W), with crops as of ``PastedMasks``: a margin of one pixel around."""

    def crop(self, number):
        mask = self[number]
        pixels, top, left = crop_mask(mask)
        bottom, right = top + pixels.shape[0], left + pixels.shape[1]
        top, left = max(top - 1, 0), max(left - 1, 0)
        return mask[top : bottom + 1, left : right + 1], top, left


def masks():
    """By name, (H, W) bool."""
    found = {
        name: np.zeros(SIZE_HW, np.uint8)
        for name in ("blob", "ring", "parts", "touching", "pixel", "corner", "empty", "holes")
    }
    cv2.ellipse(found["blob"], (60, 50), (45, 28), 20, 0, 360, 1, -1)
    cv2.circle(found["ring"], (150, 80), 60, 1, -1)
    cv2.circle(found["ring"], (140, 75), 25, 0, -1)
    cv2.circle(found["parts"], (30, 120), 20, 1, -1)
    cv2.rectangle(found["parts"], (100, 100), (130, 150), 1, -1)
    cv2.circle(found["parts"], (115, 125), 8, 0, -1)  # one of the parts has a hole
    cv2.rectangle(found["touching"], (10, 10), (19, 19), 1, -1)
    cv2.rectangle(found["touching"], (20, 20), (39, 39), 1, -1)
    found["pixel"][7, 9] = 1
    found["corner"][-30:, -40:] = 1
    cv2.rectangle(found["holes"], (20, 20), (200, 140), 1, -1)
    for x, y in ((60, 60), (120, 70), (170, 110)):
        cv2.circle(found["holes"], (x, y), 15, 0, -1)
    cv2.circle(found["holes"], (120, 70), 6, 1, -1)  # an island
    return {name: mask.astype(bool) for name, mask in found.items()}


def prediction(names=None, **changes):
    """A prediction of some of the masks."""
    chosen = {name: mask for name, mask in masks().items() if names is None or name in names}
    boxes = []
    for mask in chosen.values():
        ys, xs = np.nonzero(mask)
        box = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) if len(xs) else (3, 3, 9, 9)
        boxes.append(box)
    number = len(chosen)
    values = {
        "image": np.full((*SIZE_HW, 3), 120, np.uint8),
        "name": "photos/street.jpg",
        "class_info": Classes(things=("disc", "star")),
        "boxes": np.array(boxes, np.float32).reshape(-1, 4),
        "scores": np.linspace(0.9, 0.4, number, dtype=np.float32),
        "classes": np.arange(number) % 2,
        "masks": Masks(chosen.values()),
    }
    return Prediction(**{**values, **changes})
