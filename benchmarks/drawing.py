"""Drawing alone: many objects on a large picture, pasted, drawn and written."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from detectron2.data import Metadata
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.structures import Boxes, Instances
from detectron2.utils.visualizer import ColorMode, Visualizer

from benchmarks.case import Case, Forms
from pointrend_ext.engine.classes import Classes
from pointrend_ext.inference.postprocess import with_instances
from pointrend_ext.inference.prediction import Prediction
from pointrend_ext.visualization import write_image

__all__ = ["drawing_case", "write_as_detectron2"]

_MASK_SIDE = 224
_SIZES = (0.03, 0.4)  # edges of boxes in units of the shorter side of the picture


def write_as_detectron2(
    image_bgr: np.ndarray, instances: Instances, metadata: Any, output: Path
) -> None:
    """Draw and write as ``demo/demo.py`` and ``demo/predictor.py`` of Detectron2's repository do.

    These two files are not in its package; here the classes that they use are called in their
    order.
    """
    visualizer = Visualizer(image_bgr[:, :, ::-1], metadata, instance_mode=ColorMode.IMAGE)
    visualizer.draw_instance_predictions(predictions=instances).save(str(output))


def drawing_case(size_hw: tuple[int, int], count: int) -> Case:
    """Return the case of a picture of that size with that many objects."""
    height, width = size_hw

    def build(_device: str) -> Forms:
        rng = np.random.default_rng(0)
        noise = rng.integers(0, 256, (height // 50 + 1, width // 50 + 1, 3)).astype(np.uint8)
        image = cv2.resize(noise, (width, height))
        raw = _objects(rng, size_hw, count)
        folder = tempfile.TemporaryDirectory()  # goes with the forms
        output = Path(folder.name) / "drawn.jpg"

        def ours() -> None:
            picture = with_instances(Prediction(image, "", Classes()), raw).draw()
            write_image(output, picture)

        def upstream() -> None:
            fields = Instances(raw.image_size, **raw.get_fields())
            instances = detector_postprocess(fields, height, width)
            write_as_detectron2(image[:, :, ::-1], instances, Metadata(), output)

        forms = {"upstream": upstream, "ours": ours}
        return Forms(forms, lambda results: "not compared", keep=folder)

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
