"""From a picture to a prediction by an exported model, without PyTorch."""

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, overload

import numpy as np

from pointrend_ext.data.rgb_files import read_rgb
from pointrend_ext.deploy.runtime.model_file import ModelFile
from pointrend_ext.deploy.runtime.postprocess import with_instances, with_label_map, with_logits
from pointrend_ext.deploy.runtime.resizing import model_image
from pointrend_ext.deploy.runtime.sessions import open_session, reason_of
from pointrend_ext.inference.image_input import ImageLike, check_stream, is_one_image, load_image
from pointrend_ext.inference.panoptic_segments import with_segments
from pointrend_ext.inference.prediction import Prediction

logger = logging.getLogger(__name__)


class OnnxPredictor:
    """Runs an exported model on pictures; called like ``Predictor``, with the same predictions.

    Attributes:
        model_file: what the file says of itself.
        classes: what its classes are called.
        image_rules: how files of images are read.
        batch_size: images that are read at a time, 1.

    Example:
        >>> predictor = OnnxPredictor("model.onnx")  # doctest: +SKIP
        >>> prediction = predictor("street.jpg")  # doctest: +SKIP
        >>> prediction.class_names, prediction.boxes, prediction.masks[0]  # doctest: +SKIP
    """

    batch_size = 1

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        runtime: str = "onnx",
        confidence: float | None = 0.5,
        probabilities: bool = False,
        threads: int | None = None,
        providers: Sequence[str] | None = None,
    ) -> None:
        """Load a file that ``tools/export_model.py`` has written. Threads can share a predictor.

        Args:
            path: of the file, a whole model.
            runtime: "onnx" or "openvino".
            confidence: instances of a lower score are left out, and are no panoptic segments; None
                keeps the thresholds of the file.
            probabilities: whether label maps come with ``label_probabilities``; needs logits.
            threads: of one prediction; by default the runtime decides.
            providers: of ONNX Runtime, such as "CUDAExecutionProvider", the most wanted first; or
                the device of OpenVINO. By default the CPU.

        Raises:
            FileNotFoundError: no such file.
            ImportError: the runtime is not installed.
            ValueError: a file that is damaged, none of ours or of another format; a number out of
                its range, or what the file cannot give.
        """
        name = os.fspath(path)
        self._session = open_session(name, runtime, threads=threads, providers=providers)
        self.model_file = ModelFile.read(name, self._session.metadata, self._session.dims)
        self.classes, self.image_rules = self.model_file.classes, self.model_file.image_rules
        if probabilities and self.model_file.output != "logits":
            raise ValueError(
                f"{name} puts out {self.model_file.output}, but probabilities are made of logits: "
                "export a semantic model with --logits."
            )
        self.probabilities = probabilities
        self._min_score = self._least_score(name, confidence)
        rules = self.model_file.panoptic_rules
        if rules is not None and confidence is not None:
            rules = replace(rules, score=confidence)
        self._panoptic_rules = rules
        self._told_labels = False

    @overload  # a file name is a sequence, too: of file names
    def __call__(self, images: ImageLike) -> Prediction: ...  # type: ignore[overload-overlap]

    @overload
    def __call__(self, images: Sequence[ImageLike]) -> list[Prediction]: ...

    def __call__(self, images: Any) -> Prediction | list[Prediction]:
        """Predict one image, or several.

        Args:
            images: a file, an array (H, W, 3) uint8 RGB, a Pillow image; or a list of these.

        Returns:
            A prediction, or a list of them in the same order.

        Raises:
            OSError: no such file.
            ValueError: no picture, another array, a picture too thin to be resized, or one that the
                runtime cannot compute, such as for want of memory.
        """
        if is_one_image(images, "OnnxPredictor"):
            return self._predict(images)
        return list(self.stream(images))

    def stream(
        self, images: Iterable[ImageLike], given: Iterable[Any] | None = None
    ) -> Iterator[Prediction]:
        """Predict images one after the other; none is kept.

        Args:
            images: as of a call, any number of them, such as a generator.
            given: None; boxes of others are for ``Predictor``.
        """
        if given is not None:
            raise ValueError("OnnxPredictor finds its own boxes: give boxes to a Predictor.")
        check_stream(images, "OnnxPredictor")
        return map(self._predict, images)

    def read_image(self, file_name: str | os.PathLike[str]) -> np.ndarray:
        """Read a file as the training did: (H, W, 3) uint8 RGB, upright.

        Raises:
            OSError: no such file.
            ValueError: no picture, a broken one, or one that is too large.
        """
        return read_rgb(file_name, self.image_rules)

    @property
    def has_instances(self) -> bool:
        """Whether predictions hold instances."""
        return self.model_file.task in ("instances", "panoptic")

    def _predict(self, image: ImageLike) -> Prediction:
        file = self.model_file
        base = Prediction(*load_image(image, file.image_rules), file.classes)
        seen = model_image(base.image, file.image_format, file.min_size, file.max_size)
        seen_hw = (seen.shape[1], seen.shape[2])
        try:
            raw = self._session.run(seen)
        except Exception as error:  # its own types, which share no other base
            raise ValueError(
                f"the exported model cannot compute a picture of {seen_hw[0]} x {seen_hw[1]} "
                f"(height x width, as it sees it): {reason_of(error)}. Where memory is short, use "
                "smaller pictures; or the file was changed after its export."
            ) from error
        if self.has_instances:
            base = with_instances(base, raw, seen_hw, self._min_score)
        if file.output == "labels":
            base = self._with_labels(base, raw["labels"])
        if file.output == "logits":
            base = with_logits(base, raw["logits"], probabilities=self.probabilities)
        return base if self._panoptic_rules is None else with_segments(base, self._panoptic_rules)

    def _with_labels(self, base: Prediction, labels: np.ndarray) -> Prediction:
        if labels.shape != base.size_hw and not self._told_labels:
            self._told_labels = True
            logger.warning(
                "The exported model puts out labels, which are resized from %d x %d to %d x %d "
                "pixels by the nearest one. Export with --logits for outlines as Predictor draws "
                "them. (Said once.)",
                *labels.shape,
                *base.size_hw,
            )
        return with_label_map(base, labels, self.model_file.num_labels)

    def _least_score(self, name: str, confidence: float | None) -> float:
        least = self.model_file.min_score
        if confidence is None or not self.has_instances:
            return least
        if not least <= confidence <= 1:
            raise ValueError(
                f"OnnxPredictor: confidence is {confidence}, but {name} holds instances of scores "
                f"from {least:g} (ROI_HEADS.SCORE_THRESH_TEST of its export) to 1. Choose from "
                "these, or None for all, or export with a lower one."
            )
        return confidence
