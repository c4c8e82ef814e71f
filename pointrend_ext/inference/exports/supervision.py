"""Instances as supervision's ``Detections``, masks as run lengths."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from pointrend_ext.inference.rle import encode_mask


def supervision_detections(objects: Any, names: Sequence[str], size_hw: tuple[int, int]) -> Any:
    """Return ``supervision.Detections`` with a ``CompactMask``, which holds no whole masks.

    Args:
        objects: R boxes, scores, class ids, and masks with a method ``crop``.
        names: of their classes; they become ``data["class_name"]``.
        size_hw: of the image.

    Raises:
        ImportError: supervision is not installed, or has no such masks.
    """
    try:
        supervision = import_module("supervision")
        compact_mask = import_module("supervision.detection.compact_mask")
    except ImportError as error:
        raise ImportError(
            "to_supervision needs the package supervision with its CompactMask (0.31 is tested): "
            f"pip install -U supervision ({error})."
        ) from error
    windows, runs = [], []
    for crop in map(objects.masks.crop, range(len(objects.scores))):
        mask, top, left = crop
        windows.append((left, top, left + mask.shape[1] - 1, top + mask.shape[0] - 1))
        runs.append(encode_mask(crop, size_hw))
    table = np.array(windows, np.float32).reshape(-1, 4)
    return supervision.Detections(
        xyxy=np.asarray(objects.boxes, np.float32).reshape(-1, 4),
        mask=compact_mask.CompactMask.from_coco_rle(runs, table, size_hw),
        confidence=np.asarray(objects.scores, np.float32),
        class_id=np.asarray(objects.classes, int),
        data={"class_name": np.array(names, dtype=str)},
    )
