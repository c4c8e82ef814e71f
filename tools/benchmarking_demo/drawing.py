"""Drawing alone: many objects on a large picture."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from detectron2.data import Metadata
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.structures import Boxes, Instances

from benchmarking_demo.pipelines import draw_as_detectron2
from pointrend_ext.engine.classes import Classes
from pointrend_ext.inference.postprocess import with_instances
from pointrend_ext.inference.prediction import Prediction
from pointrend_ext.visualization import write_image

__all__ = ["drawing_forms"]

_MASK_SIDE = 224
_SIZES = (0.03, 0.4)  # edges of boxes in units of the shorter side of the picture


def drawing_forms(
    size_hw: tuple[int, int], count: int, folder: Path
) -> dict[str, Callable[[], dict[str, float]]]:
    """Return, by demo, a function that pastes, draws and writes, and gives seconds by stage.

    Args:
        size_hw: of the picture.
        count: number of objects.
        folder: for the pictures.
    """
    rng = np.random.default_rng(0)
    height, width = size_hw
    noise = rng.integers(0, 256, (height // 50 + 1, width // 50 + 1, 3)).astype(np.uint8)
    image = cv2.resize(noise, (width, height))
    raw = _objects(rng, size_hw, count)

    def ours() -> dict[str, float]:
        start = time.perf_counter()
        picture = with_instances(Prediction(image, "", Classes()), raw).draw()
        drawn = time.perf_counter()
        write_image(folder / "ours.jpg", picture)
        return {"draw": drawn - start, "write": time.perf_counter() - drawn}

    def detectron2() -> dict[str, float]:
        start = time.perf_counter()
        fields = Instances(raw.image_size, **raw.get_fields())
        instances = detector_postprocess(fields, height, width)
        picture = draw_as_detectron2(image[:, :, ::-1], instances, Metadata())
        drawn = time.perf_counter()
        picture.save(str(folder / "detectron2.jpg"))
        return {"draw": drawn - start, "write": time.perf_counter() - drawn}

    return {"detectron2": detectron2, "ours": ours}


def _objects(rng: np.random.Generator, size_hw: tuple[int, int], count: int) -> Instances:
    """Make wavy objects, as a model gives them before their masks are pasted."""
    y, x = np.mgrid[:_MASK_SIDE, :_MASK_SIDE] / (_MASK_SIDE - 1) - 0.5
    angle, radius = np.arctan2(y, x), np.hypot(y, x)
    edges = [0.38 + 0.08 * np.sin(angle * lobes) for lobes in rng.integers(2, 12, count)]
    maps = np.stack([1 / (1 + np.exp(_MASK_SIDE / 2 * (radius - edge))) for edge in edges])
    sides = min(size_hw) * np.exp(rng.uniform(*np.log(_SIZES), (count, 1)))
    corner = rng.random((count, 2)) * (np.array(size_hw[::-1]) - sides)
    boxes = np.concatenate([corner, corner + sides], axis=1)
    return Instances(
        size_hw,
        pred_boxes=Boxes(torch.from_numpy(boxes).float()),
        pred_masks=torch.from_numpy(maps[:, None]).float(),
        scores=torch.linspace(0.99, 0.5, count),
        pred_classes=torch.arange(count) % 80,
    )
