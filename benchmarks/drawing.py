"""Drawing alone: many objects on a large picture, pasted, drawn and written."""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch
from detectron2.data import Metadata
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.structures import Boxes, Instances

from benchmarks.case import Case, Forms
from benchmarks.pipelines import draw_as_detectron2
from pointrend_ext.engine.classes import Classes
from pointrend_ext.inference.postprocess import with_instances
from pointrend_ext.inference.prediction import Prediction
from pointrend_ext.visualization import write_image

__all__ = ["drawing_case"]

_MASK_SIDE = 224
_SIZES = (0.03, 0.4)  # edges of boxes in units of the shorter side of the picture


def drawing_case(size_hw: tuple[int, int], count: int) -> Case:
    """Return the case of a picture of that size with that many objects."""
    height, width = size_hw

    def build(_device: str) -> Forms:
        rng = np.random.default_rng(0)
        noise = rng.integers(0, 256, (height // 50 + 1, width // 50 + 1, 3)).astype(np.uint8)
        image = cv2.resize(noise, (width, height))
        raw = _objects(rng, size_hw, count)
        folder = Path(tempfile.mkdtemp())

        def ours() -> None:
            picture = with_instances(Prediction(image, "", Classes()), raw).draw()
            write_image(folder / "drawn.jpg", picture)

        def upstream() -> None:
            fields = Instances(raw.image_size, **raw.get_fields())
            instances = detector_postprocess(fields, height, width)
            picture = draw_as_detectron2(image[:, :, ::-1], instances, Metadata())
            picture.save(str(folder / "drawn.jpg"))

        return Forms({"upstream": upstream, "ours": ours}, lambda results: "not compared")

    return Case("Drawing", f"{count} objects on {width} x {height}, pasted and written", build)


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
