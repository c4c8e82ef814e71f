"""What the page does with a picture, for any number of users at once, without gradio."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pointrend_ext.data.reading import read_header
from pointrend_ext.inference.given_boxes import GivenBoxes
from pointrend_ext.inference.predictor import Predictor
from pointrend_ext.inspection.stages import Stage, predict_stages
from pointrend_ext.serving.boxes_file import read_boxes
from pointrend_ext.serving.time_limit import TimeLimit
from pointrend_ext.structures.classes import Classes

MOST_BOXES = 300  # of a picture, drawn or from a file


@dataclass(frozen=True)
class Limits:
    """What one request may ask for.

    Attributes:
        max_megapixels: larger pictures are refused before they are decoded.
        timeout: see ``TimeLimit``.
    """

    max_megapixels: float = 50
    timeout: float = 60

    def __post_init__(self) -> None:
        """Raise ValueError for a limit that lets nothing through, or is none."""
        for name, value in vars(self).items():
            if not (math.isfinite(value) and value > 0):
                option = f"--{name.replace('_', '-')}"
                raise ValueError(f"{option} is {value:g}: it must be a number above 0.")


@dataclass(frozen=True)
class Seen:
    """What one user sees; nothing changes it, a new request makes a new one.

    Attributes:
        name: of the picture's file.
        stages: from the coarse prediction to the final one.
        drawn: (x0, y0, x1, y1) in pixels of the boxes that the user drew.
        has_given: whether masks are those of given boxes, not of what the model found.
    """

    name: str
    stages: list[Stage]
    drawn: tuple[tuple[float, ...], ...] = ()
    has_given: bool = False

    @property
    def image(self) -> np.ndarray:
        """(H, W, 3) uint8, RGB, upright."""
        return self.stages[-1].prediction.image


class Session:
    """Runs a model for the page; threads share it.

    Whatever a user can do wrong, and every limit, is a ValueError of one or two sentences, which
    name no place of this machine.
    """

    def __init__(self, predictor: Predictor, limits: Limits | None = None) -> None:
        """Wrap a predictor, whose layers keep the limit of time from now on."""
        self.predictor, self.limits = predictor, limits or Limits()
        self._time_limit = TimeLimit(self.limits.timeout)
        self._time_limit.watch(predictor.model)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes that a box can have; none where they make no difference."""
        agnostic = self.predictor.cfg.MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK
        return () if agnostic or not self.predictor.has_instances else self.predictor.classes.things

    def open(self, path: str) -> Seen:
        """Read the file of a picture and find what is in it."""
        name = Path(path).name
        with self._request(path):
            height, width = read_header(path).size_hw
            megapixels = height * width / 1e6
            if megapixels > self.limits.max_megapixels:
                raise ValueError(
                    f"{name} has {height} x {width} pixels (height x width), {megapixels:.1f} "
                    f"megapixels, and this page takes {self.limits.max_megapixels:g} at most: make "
                    "it smaller, or start the page with --max-megapixels."
                )
            return self._find(name, self.predictor.read_image(path))

    def find(self, seen: Seen) -> Seen:
        """Go back to what the model finds by itself."""
        with self._request():
            return self._find(seen.name, seen.image)

    def with_box(self, seen: Seen, corners: Sequence[float], class_name: str | None) -> Seen:
        """Add a drawn box to those that were drawn before, and predict masks for all of them.

        Args:
            seen: what is there.
            corners: x, y, x, y of two opposite corners, as shares of the picture.
            class_name: of all of them; None lets the model choose.
        """
        with self._request():
            try:
                shares = np.array(corners, np.float64)
            except (TypeError, ValueError):
                shares = np.zeros(0)
            if shares.shape != (4,) or not np.isfinite(shares).all():
                raise ValueError(f"A box is drawn by two corners, not {corners!s:.100}.")
            size = seen.image.shape[1::-1]
            edges = np.sort(np.clip(shares.reshape(2, 2), 0, 1) * size, axis=0)
            drawn = (*seen.drawn, tuple(edges.ravel().tolist()))
            classes = None if class_name is None else [class_name] * len(drawn)
            return self._masks_for(seen, GivenBoxes(drawn, classes), drawn)

    def with_boxes_of(self, seen: Seen, path: str) -> Seen:
        """Predict masks for the boxes of a file; see ``read_boxes``."""
        with self._request(path):
            classes = self.predictor.classes if self.class_names else Classes()
            given = read_boxes(path, seen.name, seen.image.shape[:2], classes)
            return self._masks_for(seen, given, ())

    def _find(self, name: str, image: np.ndarray) -> Seen:
        """Predict; a model without a detector has nothing to say before it is given boxes."""
        finds = self.predictor.cfg.MODEL.PROPOSAL_GENERATOR.NAME != "GivenBoxes"
        boxes: list[Any] | None = None if finds or not self.predictor.has_instances else []
        return Seen(name, predict_stages(self.predictor, image, boxes))

    def _masks_for(
        self, seen: Seen, given: GivenBoxes, drawn: tuple[tuple[float, ...], ...]
    ) -> Seen:
        if len(given.boxes) > MOST_BOXES:
            raise ValueError(
                f"There are {len(given.boxes)} boxes, and this page takes {MOST_BOXES} at most: "
                "leave some out."
            )
        stages = predict_stages(
            self.predictor, seen.image, given.boxes, classes=given.classes, scores=given.scores
        )
        return Seen(seen.name, stages, drawn, has_given=True)

    @contextmanager
    def _request(self, path: str = "") -> Iterator[None]:
        """Limit the time, and say what is wrong without the place where an upload lies."""
        try:
            with self._time_limit.running():
                yield
        except (MemoryError, torch.cuda.OutOfMemoryError) as error:
            raise ValueError(
                "This needs more memory than there is: pass a smaller picture or fewer boxes."
            ) from error
        except (ValueError, OSError) as error:
            text = str(error)
            raise ValueError(text.replace(path, Path(path).name) if path else text) from error
