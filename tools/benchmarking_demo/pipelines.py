"""From a picture's file to its drawing's file: our demo, and Detectron2's, stage by stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data.detection_utils import read_image
from detectron2.engine import DefaultPredictor
from detectron2.structures import Instances
from detectron2.utils.visualizer import ColorMode, VisImage, Visualizer

from pointrend_ext.inference.demo.same_objects import ObjectColors
from pointrend_ext.inference.prediction import Prediction
from pointrend_ext.inference.predictor import Predictor
from pointrend_ext.visualization import read_image_rgb, write_image

__all__ = ["STAGES", "Found", "Pipeline", "detectron2_pipeline", "our_pipeline"]

STAGES = ("read", "predict", "draw", "write")


@dataclass(frozen=True)
class Found:
    """What a pipeline predicted.

    Attributes:
        boxes: (R, 4) in pixels of the image.
        masks: (R, H, W) bool.
    """

    boxes: np.ndarray
    masks: np.ndarray


@dataclass(frozen=True)
class Pipeline:
    """A demo.

    Attributes:
        stages: by the names of ``STAGES``: each takes what the one before returned, the first the
            picture's path; the last also takes the path to write.
        found: reads what the second stage returned.
    """

    stages: Mapping[str, Callable[..., Any]]
    found: Callable[[Any], Found]

    def run(self, picture: Path, output: Path) -> tuple[dict[str, float], Any]:
        """Process one picture.

        Args:
            picture: to read.
            output: to write.

        Returns:
            Seconds by stage, and what was predicted, for ``found``.
        """
        seconds, value, predicted = {}, picture, None
        for name in STAGES:
            more = (output,) if name == "write" else ()
            start = time.perf_counter()
            value = self.stages[name](value, *more)
            seconds[name] = time.perf_counter() - start
            if name == "predict":
                predicted = value
        return seconds, predicted


def our_pipeline(predictor: Predictor) -> Pipeline:
    """Return what ``pointrend_ext.inference.demo`` does with a picture.

    Masks are pasted when they are drawn, not when they are predicted.
    """
    stages = {
        "read": read_image_rgb,
        "predict": predictor,
        "draw": lambda prediction: prediction.draw(colors=ObjectColors()(prediction)),
        "write": lambda picture, path: write_image(path, picture),
    }
    return Pipeline(stages, _our_found)


def detectron2_pipeline(predictor: DefaultPredictor) -> Pipeline:
    """Return what Detectron2's ``demo/demo.py`` and ``demo/predictor.py`` do with a picture.

    These two files are in its repository (facebookresearch/detectron2) and not in its package; here
    the public classes that they use are called in their order.
    """
    stages = {
        "read": partial(read_image, format="BGR"),
        "predict": lambda image: (image, predictor(image)["instances"].to("cpu")),
        "draw": lambda predicted: draw_as_detectron2(*predicted, predictor.metadata),
        "write": lambda drawn, path: drawn.save(str(path)),
    }
    return Pipeline(stages, lambda predicted: instances_found(predicted[1]))


def draw_as_detectron2(image_bgr: np.ndarray, instances: Instances, metadata: Any) -> VisImage:
    """Draw with Detectron2's ``Visualizer``, as its demo does."""
    visualizer = Visualizer(image_bgr[:, :, ::-1], metadata, instance_mode=ColorMode.IMAGE)
    return visualizer.draw_instance_predictions(predictions=instances)


def instances_found(instances: Instances) -> Found:
    """Read Detectron2's instances."""
    return Found(instances.pred_boxes.tensor.numpy(), instances.pred_masks.numpy())


def _our_found(prediction: Prediction) -> Found:
    return Found(prediction.boxes, np.asarray(prediction.masks))
