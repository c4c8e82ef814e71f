"""From a picture to a prediction, in three lines of Python."""

import argparse
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, repeat
from numbers import Integral
from typing import Any, overload

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from detectron2.modeling import GeneralizedRCNN
from torch import nn

from pointrend_ext.data import build_mapper
from pointrend_ext.data.pixels import ImageRules, to_format
from pointrend_ext.data.reading import read_image_rgb
from pointrend_ext.engine.classes import Classes
from pointrend_ext.engine.command_line import load_options
from pointrend_ext.engine.loading import LoadOptions
from pointrend_ext.inference.building import check_model, model_of_config, model_of_folder
from pointrend_ext.inference.given_boxes import GivenBoxes, check_takes_boxes, given_to_each
from pointrend_ext.inference.image_input import ImageLike, check_stream, is_one_image, load_image
from pointrend_ext.inference.prediction import Prediction
from pointrend_ext.inference.pretrained import write_pretrained
from pointrend_ext.inference.run_model import run_model
from pointrend_ext.modeling.checks import check_values

__all__ = ["ImageLike", "Predictor", "build_predictor"]


class Predictor:
    """Runs a trained model on pictures: instances, semantics, or both.

    Images are (H, W, 3) uint8 in RGB everywhere, whatever ``INPUT.FORMAT`` the model was trained
    with. They are resized as in an evaluation, and predictions have the size of the image.

    Example:
        >>> predictor = Predictor.from_config("my.yaml", "model_final.pth")  # doctest: +SKIP
        >>> prediction = predictor("street.jpg")  # doctest: +SKIP
        >>> prediction.class_names, prediction.boxes, prediction.masks[0]  # doctest: +SKIP
        >>> picture = prediction.draw()  # doctest: +SKIP
    """

    def __init__(
        self,
        model: nn.Module,
        cfg: CfgNode,
        *,
        classes: Classes | None = None,
        batch_size: int = 1,
        probabilities: bool = False,
    ) -> None:
        """Wrap a model that is built and loaded.

        A call leaves nothing behind in the model, so threads can share a predictor.

        Args:
            model: with instance masks, a label map, or both; put into evaluation mode.
            cfg: its configuration; ``INPUT`` tells how images are resized.
            classes: what its classes are called.
            batch_size: images that are read at a time. Those that the model sees in one size go
                through it together, so that none is padded for another; a batch changes
                predictions by rounding alone.
            probabilities: whether label maps come with ``label_probabilities``.

        Raises:
            ValueError: a model without masks, or wrapped by another one.
        """
        check_model(model, cfg)
        is_count = isinstance(batch_size, Integral) and batch_size >= 1
        check_values("Predictor", ("batch_size", batch_size, is_count, "a whole number from 1"))
        self.model: Any = model.eval()  # of one of Detectron2's classes, which have no types
        self.cfg, self.batch_size = cfg, batch_size
        self.probabilities = probabilities
        self.classes = classes or Classes()
        self.image_rules = ImageRules.from_cfg(cfg)
        self._augmentations = build_mapper(cfg, is_train=False).augmentations

    @classmethod
    def from_config(
        cls,
        config_file: str | os.PathLike[str],
        weights: str | os.PathLike[str] | None = None,
        *,
        device: str | torch.device | None = None,
        opts: Sequence[Any] = (),
        confidence: float | None = 0.5,
        load_options: LoadOptions | None = None,
        **options: Any,
    ) -> "Predictor":
        """Build and load a model.

        Args:
            config_file: a path, or the name of a configuration that this package ships.
            weights: a file or an address, or "zoo" for those released for the configuration; by
                default ``MODEL.WEIGHTS``.
            device: such as "cpu" or "cuda:1"; by default that of the configuration, or the CPU
                where there is no GPU.
            opts: alternating keys and values that change the configuration.
            confidence: instances of a lower score are left out; None keeps the threshold of the
                configuration (``MODEL.ROI_HEADS.SCORE_THRESH_TEST``), with which it is evaluated.
            load_options: how the weights are loaded.
            options: ``batch_size`` and ``probabilities`` of the constructor.

        Raises:
            FileNotFoundError: no such configuration or weights.
            ValueError: an unknown key, no or too few weights, or a number out of its range.
        """
        given = (config_file, weights, device, opts, confidence, load_options)
        return cls(**model_of_config(*given), **options)

    @classmethod
    def from_pretrained(
        cls,
        path_or_repo: str | os.PathLike[str],
        *,
        revision: str | None = None,
        device: str | torch.device | None = None,
        opts: Sequence[Any] = (),
        confidence: float | None = None,
        **options: Any,
    ) -> "Predictor":
        """Read what ``save_pretrained`` wrote; no code of it is run.

        Args:
            path_or_repo: the folder, or ``owner/name``, a model of the Hugging Face Hub.
            revision: of the Hub: a branch, tag or commit.
            device: as of ``from_config``, and so are ``opts`` and the rest.
            opts: pairs that change the saved configuration.
            confidence: None keeps that of the saved predictor.
            **options: of the constructor.

        Raises:
            FileNotFoundError, ImportError, ValueError: see ``inference.pretrained``.
        """
        given = (path_or_repo, revision, device, opts, confidence)
        return cls(**model_of_folder(*given), **options)

    def save_pretrained(
        self,
        folder: str | os.PathLike[str],
        *,
        scores: Mapping[str, Mapping[str, float]] | None = None,
        data_set: str = "",
    ) -> None:
        """Write a folder that can be copied, or uploaded to the Hub: all but the data.

        Args:
            folder: new, empty, or with a model to replace.
            scores: for its model card: {task: {metric: per cent}} of an evaluation.
            data_set: what was evaluated on.
        """
        write_pretrained(folder, self.model, self.cfg, self.classes, scores, data_set)

    @overload  # a file name is a sequence, too: of file names
    def __call__(  # type: ignore[overload-overlap]
        self, images: ImageLike, boxes: Any = None, *, classes: Any = None, scores: Any = None
    ) -> Prediction: ...

    @overload
    def __call__(
        self,
        images: Sequence[ImageLike],
        boxes: Any = None,
        *,
        classes: Any = None,
        scores: Any = None,
    ) -> list[Prediction]: ...

    def __call__(
        self, images: Any, boxes: Any = None, *, classes: Any = None, scores: Any = None
    ) -> Prediction | list[Prediction]:
        """Predict one image, or several; with boxes, masks for these instead of for those it finds.

        Args:
            images: a file, an array (H, W, 3) uint8 RGB, a Pillow image; or a list of these.
            boxes: (R, 4) x0, y0, x1, y1 in pixels of the image, as a list, array, tensor or
                ``Boxes``; R may be 0. Of a list of images a list with those of each. They may reach
                2 pixels, or a tenth of their side, beyond the image, and are clipped to it.
            classes: of the boxes, R names, or places in the order of the model's classes, from 0.
                Left out, each box gets the class whose mask is surest, for which every class is
                tried; a model with one mask for all classes calls them "object".
            scores: of the boxes, R numbers; 1 by default.

        Returns:
            A prediction, or a list of them in the same order. With boxes it has all of them, in
            their order; a panoptic model then predicts instances alone.

        Raises:
            OSError: no such file.
            ValueError: no picture, another array, a picture too thin to be resized, a model that
                was put into training mode; boxes outside the image or without area, unknown
                classes, or boxes for a semantic model.
        """
        one = is_one_image(images, "Predictor")
        if boxes is None:
            if classes is not None or scores is not None:
                raise ValueError("Predictor was given classes or scores of boxes, but no boxes.")
            return next(self.stream([images])) if one else list(self.stream(images))
        if one:
            return next(self.stream([images], [GivenBoxes(boxes, classes, scores)]))
        return list(self.stream(images, given_to_each(len(images), boxes, classes, scores)))

    def stream(
        self, images: Iterable[ImageLike], given: Iterable[GivenBoxes] | None = None
    ) -> Iterator[Prediction]:
        """Predict images one after the other; none is kept.

        Args:
            images: as of a call, any number of them, such as a generator.
            given: boxes of each; None where the model is to find them.

        Yields:
            Predictions in the same order.

        Raises:
            OSError, ValueError: as of a call.
        """
        check_stream(images, "Predictor")
        pairs: Iterator[tuple[ImageLike, GivenBoxes | None]] = (
            zip(images, repeat(None)) if given is None else zip(images, given, strict=True)
        )
        while chunk := list(islice(pairs, self.batch_size)):
            yield from self._predict(chunk)

    def read_image(self, file_name: str | os.PathLike[str]) -> np.ndarray:
        """Read a file as a training with this configuration does: (H, W, 3) uint8 RGB, upright.

        Raises:
            OSError: no such file.
            ValueError: no picture, a broken one, or one that is too large.
        """
        return read_image_rgb(file_name, self.image_rules)

    def model_input(self, image_rgb: np.ndarray) -> dict[str, Any]:
        """Resize (H, W, 3) uint8 RGB as in an evaluation: ``image`` (3, h, w), ``INPUT.FORMAT``.

        Raises:
            ValueError: a picture too thin to be resized.
        """
        augmented = T.AugInput(to_format(image_rgb, self.cfg.INPUT.FORMAT))
        try:
            self._augmentations(augmented)
        except ValueError as error:  # of Pillow
            height, width = image_rgb.shape[:2]
            raise ValueError(
                f"a picture of {height} x {width} (height x width) cannot be resized to a shorter "
                f"side of {self.cfg.INPUT.MIN_SIZE_TEST} and a longer one of at most "
                f"{self.cfg.INPUT.MAX_SIZE_TEST} pixels: {error}. Cut it into pieces."
            ) from error
        pixels = np.ascontiguousarray(augmented.image.transpose(2, 0, 1))
        return {"image": torch.as_tensor(pixels)}

    @property
    def has_instances(self) -> bool:
        """Whether predictions hold instances."""
        return isinstance(self.model, GeneralizedRCNN)

    @torch.no_grad()
    def _predict(self, pairs: Sequence[tuple[ImageLike, GivenBoxes | None]]) -> list[Prediction]:
        if self.model.training:
            raise ValueError(
                "The model of the Predictor is in training mode, in which it predicts nothing: "
                "call predictor.model.eval() first."
            )
        bases = [
            Prediction(*load_image(x, self.image_rules, read_image_rgb), self.classes)
            for x, _ in pairs
        ]
        inputs = [self.model_input(base.image) for base in bases]
        for base, x, (_, given) in zip(bases, inputs, pairs, strict=True):
            if given is not None:
                check_takes_boxes(self.model)
                num_classes = self.cfg.MODEL.ROI_HEADS.NUM_CLASSES
                x.update(given.model_input(base.size_hw, self.classes, num_classes))
        alike: dict[tuple[torch.Size, bool], list[int]] = {}
        for number, x in enumerate(inputs):
            alike.setdefault((x["image"].shape, "given" in x), []).append(number)
        predictions: dict[int, Prediction] = {}
        for numbers in alike.values():
            own = [bases[n] for n in numbers], [inputs[n] for n in numbers]
            outputs = run_model(self.model, self.cfg, *own, probabilities=self.probabilities)
            predictions |= zip(numbers, outputs, strict=True)
        return [predictions[number] for number in range(len(bases))]


def build_predictor(args: argparse.Namespace, **options: Any) -> Predictor:
    """Build the model of ``add_model_arguments``; ``options`` of ``from_config`` come first."""
    named = {key: getattr(args, key) for key in ("config_file", "weights", "device", "opts")}
    return Predictor.from_config(**{**named, "load_options": load_options(args), **options})
