"""Boxes that a predictor is given for an image, checked before the model sees them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from detectron2.modeling import GeneralizedRCNN
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn

from pointrend_ext.inference.prediction import known_classes
from pointrend_ext.structures.classes import Classes

# How far a box may reach beyond its image, by which detectors differ: it is clipped.
_SLACK_PX, _SLACK_SHARE = 2.0, 0.1  # pixels, or this share of its side


@dataclass(frozen=True)
class GivenBoxes:
    """Boxes of one image; nothing is checked before ``model_input``.

    Attributes:
        boxes: R x 4 numbers x0, y0, x1, y1 in pixels of the image, as a list, array, tensor or
            ``Boxes``; R may be 0.
        classes: of each, a name or a place in the order of the model's classes, from 0; None where
            they are not known.
        scores: of each; None for 1.
        place: what messages begin with, such as "image 3: ".
    """

    boxes: Any
    classes: Sequence[str | int] | np.ndarray | Tensor | None = None
    scores: Sequence[float] | np.ndarray | Tensor | None = None
    place: str = ""

    @classmethod
    def of_results(
        cls, results: Sequence[dict[str, Any]], names: Mapping[Any, str]
    ) -> "GivenBoxes":
        """Take checked COCO results of one image; without ``names`` their classes are not known."""
        corners = np.array([x["bbox"] for x in results], np.float64).reshape(-1, 4)
        corners[:, 2:] += corners[:, :2]
        classes = [names[x["category_id"]] for x in results] if names else None
        return cls(corners, classes, [x["score"] for x in results])

    def model_input(
        self, size_hw: tuple[int, int], info: Classes, num_classes: int
    ) -> dict[str, Any]:
        """Return what ``GivenBoxesModel`` takes beside an image of this size, boxes clipped to it.

        Raises:
            ValueError: not such boxes, classes or scores; the message names the first.
        """
        try:
            table = _table(self.boxes)
            _check_table(table, size_hw)
            given = Instances(size_hw, pred_boxes=Boxes(torch.from_numpy(table)))
            given.pred_boxes.clip(size_hw)
            if self.classes is not None:
                classes = _row("classes", self.classes, len(table))
                given.pred_classes = _class_numbers(classes, info, num_classes)
            if self.scores is not None:
                given.scores = _score_row(_row("scores", self.scores, len(table)))
        except ValueError as error:
            raise ValueError(f"{self.place}{error}") from error
        return {"given": given, "height": size_hw[0], "width": size_hw[1]}


def check_takes_boxes(model: nn.Module) -> None:
    """Raise ValueError for a model that cannot be given boxes."""
    if not isinstance(model, GeneralizedRCNN):
        raise ValueError(
            f"Boxes were given to a semantic model ({type(model).__name__}), which predicts no "
            "masks of objects: use one of GeneralizedRCNN with MODEL.MASK_ON True."
        )


def given_to_each(
    number: int, boxes: Any, classes: Any = None, scores: Any = None
) -> list[GivenBoxes]:
    """Divide what a batch of images is given.

    Raises:
        ValueError: not as many entries as images.
    """
    columns = []
    for what, values in (("boxes", boxes), ("classes", classes), ("scores", scores)):
        values = [None] * number if values is None else values
        if isinstance(values, str) or not hasattr(values, "__len__") or len(values) != number:
            found = f"{len(values)} entries" if hasattr(values, "__len__") else repr(values)
            raise ValueError(
                f"Predictor was given {number} images, so {what} must be a list with {number} "
                f"entries, those of each image ([] for none), not {found}."
            )
        columns.append(values)
    return [
        GivenBoxes(own, of, sure, f"image {number} of the list: ")
        for number, (own, of, sure) in enumerate(zip(*columns, strict=True))
    ]


def _table(boxes: Any) -> np.ndarray:
    """Return (R, 4) float32."""
    if isinstance(boxes, Boxes):
        boxes = boxes.tensor
    if isinstance(boxes, Tensor):
        boxes = boxes.detach().cpu().double()
    try:
        table = np.asarray(boxes)
    except (RuntimeError, TypeError, ValueError):  # rows of several lengths, or no numbers
        table = np.empty((), object)
    if table.shape in ((0,), (0, 4)):
        return np.zeros((0, 4), np.float32)
    is_numbers = table.dtype.kind in "iuf"
    if not is_numbers or table.ndim != 2 or table.shape[1] != 4:
        found = f"{table.shape}" if is_numbers else f"{boxes!r:.100}"
        one = "; a single box is [[x0, y0, x1, y1]]" if table.shape == (4,) else ""
        raise ValueError(
            "boxes must be of shape (number, 4), x0, y0, x1, y1 of each in pixels of the image, "
            f"not {found}{one}."
        )
    with np.errstate(over="ignore"):
        return table.astype(np.float32)


def _check_table(table: np.ndarray, size_hw: tuple[int, int]) -> None:
    """Refuse boxes that no image of this size has."""
    height, width = size_hw
    low, high = table[:, :2], table[:, 2:]
    _refuse(table, ~np.isfinite(table).all(1), "is not made of finite numbers")
    _refuse(
        table,
        (high <= low).any(1),
        "has no area: x1 must be above x0, and y1 above y0. If it is (x, y, width, height), pass "
        "x, y, x + width, y + height",
    )
    if len(table) and np.abs(table).max() <= 1 < max(size_hw):
        _refuse(
            table,
            np.ones(len(table), bool),
            "has no number above 1, like a share of the image: pass pixels, x times its width "
            f"{width} and y times its height {height}",
        )
    side = np.array([width, height], np.float32)
    beyond = np.maximum(-low, high - side)  # (R, 2)
    is_far = (beyond > np.maximum(_SLACK_PX, _SLACK_SHARE * (high - low))).any(1)
    is_outside = (np.minimum(high, side) <= np.maximum(low, 0)).any(1)
    _refuse(
        table,
        is_far | is_outside,
        f"reaches more than {_SLACK_PX:.0f} pixels and {_SLACK_SHARE:.0%} of its side beyond its "
        f"image of {height} x {width} (height x width), or lies outside. Boxes are x0, y0, x1, y1 "
        "in pixels of the image itself, not of a resized copy; clip those that are right",
    )


def _refuse(table: np.ndarray, is_wrong: Any, words: str) -> None:
    """Refuse the first box of those that ``is_wrong`` (R,) marks."""
    if number_wrong := int(is_wrong.sum()):
        number = int(is_wrong.argmax())
        values = ", ".join(f"{v:g}" for v in table[number].tolist())
        others = f" (so it is with {number_wrong} of {len(table)} boxes)" * (number_wrong > 1)
        raise ValueError(f"box {number}, [{values}], {words}{others}.")


def _row(what: str, values: Any, number: int) -> list[Any]:
    """Return one value per box."""
    values = values.tolist() if isinstance(values, (np.ndarray, Tensor)) else values
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise ValueError(f"{what} must be a list with one entry per box, not {values!r:.100}.")
    if len(values) != number:
        raise ValueError(f"there are {len(values)} {what} for {number} boxes: pass one per box.")
    return [x.tolist() if isinstance(x, Tensor) else x for x in values]


def _class_numbers(classes: list[Any], info: Classes, num_classes: int) -> Tensor:
    """Return places of classes, in the same words as those that predictions are filtered by."""
    names = info.things or tuple(map(str, range(num_classes)))
    known = known_classes(Classes(things=names), classes)
    return torch.tensor([names.index(c) if isinstance(c, str) else c for c in known]).long()


def _score_row(scores: list[Any]) -> Tensor:
    most = float(np.finfo(np.float32).max)
    if not all(isinstance(x, int | float | np.number) and abs(float(x)) <= most for x in scores):
        raise ValueError(f"scores must be finite numbers, not {scores!r:.100}.")
    return torch.tensor(scores, dtype=torch.float32)
