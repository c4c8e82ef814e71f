"""From a picture's file to its drawing's file: our demo, and Detectron2's, stage by stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from detectron2.data.detection_utils import read_image
from detectron2.engine import DefaultPredictor
from detectron2.structures import Instances
from detectron2.utils.visualizer import ColorMode, VisImage, Visualizer

from pointrend_ext.inference.demo.same_objects import ObjectColors
from pointrend_ext.inference.predictor import Predictor
from pointrend_ext.visualization import read_image_rgb, write_image

__all__ = ["STAGES", "Pipeline", "detectron2_pipeline", "draw_as_detectron2", "our_pipeline"]

STAGES = ("read", "predict", "draw", "write")


@dataclass
class Pipeline:
    """A demo.

    Attributes:
        stages: those of ``STAGES``: each takes what the one before returned, the first the
            picture's path; the last also takes the path to write.
        found: reads boxes (R, 4) in pixels and masks (R, H, W) bool from what was predicted.
        seconds: of each call, by stage.
    """

    stages: Sequence[Callable[..., Any]]
    found: Callable[[Any], tuple[np.ndarray, np.ndarray]]
    seconds: list[list[float]] = field(default_factory=list)

    def run(self, pictures: Sequence[Path], output: Path) -> Any:
        """Process pictures, each drawn to the same file; return what was predicted of the last."""
        total = [0.0] * len(STAGES)
        predicted = None
        for picture in pictures:
            value: Any = picture
            for number, stage in enumerate(self.stages):
                more = (output,) if STAGES[number] == "write" else ()
                start = time.perf_counter()
                value = stage(value, *more)
                total[number] += time.perf_counter() - start
                if STAGES[number] == "predict":
                    predicted = value
        self.seconds.append(total)
        return predicted

    def medians(self) -> list[float]:
        """Return the median seconds of each stage over all calls but the first."""
        return [median(stage) for stage in zip(*self.seconds[1:], strict=True)]


def our_pipeline(predictor: Predictor) -> Pipeline:
    """Return what ``pointrend_ext.inference.demo`` does with a picture.

    Masks are pasted when they are drawn, not when they are predicted.
    """
    stages = (
        read_image_rgb,
        predictor,
        lambda prediction: prediction.draw(colors=ObjectColors()(prediction)),
        lambda picture, path: write_image(path, picture),
    )
    return Pipeline(stages, lambda predicted: (predicted.boxes, np.asarray(predicted.masks)))


def detectron2_pipeline(predictor: DefaultPredictor) -> Pipeline:
    """Return what Detectron2's ``demo/demo.py`` and ``demo/predictor.py`` do with a picture.

    These two files are in its repository (facebookresearch/detectron2) and not in its package; here
    the public classes that they use are called in their order.
    """

    def found(predicted: tuple[np.ndarray, Instances]) -> tuple[np.ndarray, np.ndarray]:
        _, instances = predicted
        return instances.pred_boxes.tensor.numpy(), instances.pred_masks.numpy()

    stages = (
        partial(read_image, format="BGR"),
        lambda image: (image, predictor(image)["instances"].to("cpu")),
        lambda predicted: draw_as_detectron2(*predicted, predictor.metadata),
        lambda drawn, path: drawn.save(str(path)),
    )
    return Pipeline(stages, found)


def draw_as_detectron2(image_bgr: np.ndarray, instances: Instances, metadata: Any) -> VisImage:
    """Draw with Detectron2's ``Visualizer``, as its demo does."""
    visualizer = Visualizer(image_bgr[:, :, ::-1], metadata, instance_mode=ColorMode.IMAGE)
    return visualizer.draw_instance_predictions(predictions=instances)
