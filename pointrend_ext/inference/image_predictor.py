"""What every predictor of images offers, with PyTorch or without."""

import os
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np

from pointrend_ext.data.rgb import ImageRules
from pointrend_ext.inference.image_input import ImageLike
from pointrend_ext.inference.prediction import Prediction
from pointrend_ext.structures.classes import Classes


class ImagePredictor(Protocol):
    """A ``Predictor`` or an ``OnnxPredictor``; see the former."""

    classes: Classes
    image_rules: ImageRules
    batch_size: int

    @property
    def has_instances(self) -> bool:
        """Whether predictions hold instances."""

    def read_image(self, file_name: str | os.PathLike[str]) -> np.ndarray:
        """Read a file: (H, W, 3) uint8 RGB, upright."""

    def stream(
        self, images: Iterable[ImageLike], given: Iterable[Any] | None = None
    ) -> Iterator[Prediction]:
        """Predict images one after the other."""
