"""What is odd about predictions as a whole, and which of them do not count."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pycocotools.mask as mask_util

from pointrend_ext.data.box_layout import likely_mistake
from pointrend_ext.data.findings import Cause, Findings, Kind

_REPEATED = Cause(Kind.NOTED, "predictions equal to an earlier one (image, class, score, shape)")
_EMPTY_MASK = Cause(Kind.NOTED, "predictions with an empty mask, which match nothing", True)
_EMPTY_BOX = Cause(Kind.NOTED, "predictions whose box has no area, which match nothing", True)
_SCORES = Cause(
    Kind.NOTED,
    "predictions with a score outside 0 to 1 (per cent, logits?): AP takes their order alone",
)
_BEYOND_IMAGE = "predictions whose box reaches more than 2 pixels beyond the image"
_AS_CORNERS = "; all boxes fit as corners x0, y0, x1, y1: write x0, y0, x1 - x0, y1 - y0"
_SHARES = Cause(
    Kind.NOTED, "predictions whose box has no number above 1 (shares of the image?): write pixels"
)
_BEYOND_BOX = Cause(
    Kind.NOTED,
    "predictions whose mask reaches beyond their box by more than 2 pixels and 10 % of its side",
    True,
)
_SLACK_PX, _SLACK_SHARE = 2.0, 0.1
_CORNERS_SHARE = 0.1  # of boxes beyond the image, from which on they may be corners


@dataclass(frozen=True)
class Limit:
    """How many predictions count.

    Attributes:
        number: those with the highest scores.
        per_class: of each image and class (COCO's rule), or of each image (LVIS's).
        option: what changes the number, for messages.
    """

    number: int
    per_class: bool
    option: str

    def excess(self, entries: Iterable[Mapping[str, Any]]) -> dict[Any, int]:
        """Return how many entries with ``image_id`` and ``category_id`` are too many, by image."""
        keys = ("image_id", "category_id") if self.per_class else ("image_id",)
        excess = Counter[Any]()
        for (image_id, *_), n in Counter(tuple(e[k] for k in keys) for e in entries).items():
            if n > self.number:
                excess[image_id] += n - self.number
        return excess

    @property
    def of(self) -> str:
        """Say of what ``number`` are the best."""
        return "an image and class" if self.per_class else "an image"

    def cause(self, kind: Kind, what: str, excess: Mapping[Any, int]) -> Cause:
        """Name what is beyond the number."""
        images = f"{len(excess)} image{'s' * (len(excess) > 1)}"
        text = (
            f"{what} beyond the {self.number} of {self.of} that count, in {images} ({self.option})"
        )
        return Cause(kind, text, is_expected=True)


def find_uncounted(results: list[dict[str, Any]], limit: Limit, found: Findings) -> None:
    """Count the predictions that the rule of COCO or LVIS leaves out."""
    if excess := limit.excess(results):
        cause = limit.cause(Kind.LEFT_OUT, "predictions", excess)
        found.add(cause, f"image {next(iter(excess))!r}", sum(excess.values()))


def find_unfindable(annotations: Iterable[Mapping[str, Any]], limit: Limit) -> Findings:
    """Count the true objects for which no predictions are left by that rule."""
    objects = [a for a in annotations if not a.get("iscrowd", 0)]
    found = Findings(len(objects))
    if excess := limit.excess(objects):
        cause = limit.cause(Kind.NOTED, "objects that stay without a prediction,", excess)
        found.add(cause, f"image {next(iter(excess))!r}", sum(excess.values()))
    return found


def find_oddities(
    results: list[dict[str, Any]],
    sizes_hw: Mapping[Any, tuple[int, int]],
    shapes: Collection[str],
    found: Findings,
) -> None:
    """Note what makes scores low or accidental though every prediction can be scored.

    ``shapes`` are "bbox" and "segmentation", as far as all predictions have them.
    """
    if not results:
        return
    _find_repeated(results, shapes, found)
    scores = np.array([result["score"] for result in results], dtype=np.float64)
    _add(found, _SCORES, (scores < 0) | (scores > 1), results)
    if len(results) > 1 and (scores == scores[0]).all():
        text = f"predictions of one score, {scores[0]:g}: they rank by their order in the file"
        _add(found, Cause(Kind.NOTED, text), scores == scores[0], results)
    everything = np.ones(len(results), dtype=bool)
    if "bbox" in shapes:
        sizes = np.array([sizes_hw[result["image_id"]] for result in results], dtype=np.float64)
        boxes = np.array([result["bbox"] for result in results], dtype=np.float64)
        _find_odd_boxes(results, boxes, sizes, found)
    if "segmentation" in shapes:
        masks = [result["segmentation"] for result in results]
        # One by one: on NumPy 2 pycocotools 2.0.11 takes no list of more than 255 masks.
        is_empty = np.array([mask_util.area(mask) == 0 for mask in masks], dtype=bool)
        _add(found, _EMPTY_MASK, is_empty, results)
        if "bbox" in shapes and not is_empty.all():
            bounds = mask_util.toBbox(masks)[~is_empty]
            bounds[:, 2:] += bounds[:, :2]
            shown = [mask for mask, no_pixel in zip(masks, is_empty, strict=True) if not no_pixel]
            if mistake := likely_mistake(boxes[~is_empty], bounds, sizes[~is_empty], shown):
                text = f"predictions whose boxes are not those of their masks: {mistake}"
                _add(found, Cause(Kind.NOTED, text), everything, results)
            else:
                is_beyond = np.zeros(len(results), dtype=bool)
                is_beyond[~is_empty] = _is_beyond(bounds, boxes[~is_empty])
                _add(found, _BEYOND_BOX, is_beyond, results)


def _is_beyond(bounds_xyxy: np.ndarray, boxes_xywh: np.ndarray) -> np.ndarray:
    """(N,) bool: the bounds of a mask leave its box, which those of no mask head do."""
    low, size = boxes_xywh[:, :2], boxes_xywh[:, 2:]
    slack = np.maximum(_SLACK_PX, _SLACK_SHARE * size)
    leaves = (bounds_xyxy[:, :2] < low - slack) | (bounds_xyxy[:, 2:] > low + size + slack)
    return leaves.any(axis=1)


def _find_repeated(results: list[dict[str, Any]], shapes: Collection[str], found: Findings) -> None:
    seen = set()
    for index, result in enumerate(results):
        key: tuple[Any, ...] = (result["image_id"], result["category_id"], result["score"])
        if "bbox" in shapes:
            key += tuple(result["bbox"])
        if "segmentation" in shapes:
            key += (result["segmentation"]["counts"],)
        if key in seen:
            found.add(_REPEATED, place_of(index, result))
        seen.add(key)


def _find_odd_boxes(
    results: list[dict[str, Any]], boxes: np.ndarray, sizes_hw: np.ndarray, found: Findings
) -> None:
    ends, far = boxes[:, :2] + boxes[:, 2:], sizes_hw[:, ::-1] + _SLACK_PX
    _add(found, _EMPTY_BOX, (boxes[:, 2:] <= 0).any(axis=1), results)
    if 0 < boxes.max() <= 1:
        _add(found, _SHARES, (boxes <= 1).all(axis=1), results)
    is_beyond = (boxes[:, :2] < -_SLACK_PX).any(axis=1) | (ends > far).any(axis=1)
    fit_as_corners = (boxes[:, 2:] >= boxes[:, :2]) & (boxes[:, 2:] <= far)
    are_corners = is_beyond.mean() >= _CORNERS_SHARE and fit_as_corners.all()
    text = _BEYOND_IMAGE + _AS_CORNERS * bool(are_corners)
    _add(found, Cause(Kind.NOTED, text), is_beyond, results)


def _add(found: Findings, cause: Cause, is_so: Any, results: list[dict[str, Any]]) -> None:
    if is_so.any():
        index = int(is_so.argmax())
        found.add(cause, place_of(index, results[index]), int(is_so.sum()))


def place_of(index: int, result: Mapping[str, Any]) -> str:
    """Name an entry of a list of predictions."""
    return f"entry {index} (image_id {result.get('image_id')!r})"
