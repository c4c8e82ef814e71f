"""What a smaller file loses along outlines, against the file in 32 bits."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from pointrend_ext.deploy.checks.agreement import Figure
from pointrend_ext.deploy.running import Runner
from pointrend_ext.evaluation.boundary import boundary_width, mask_boundary
from pointrend_ext.inference.demo.same_objects import box_iou
from pointrend_ext.inference.pasted_masks import PastedMasks

_SAME_OBJECT = 0.5
"""Intersection over union of the boxes from which two detections of a class are one object."""

Arrays = Sequence[np.ndarray]
Call = tuple[Arrays, Arrays]
Pairs = Iterator[tuple[np.ndarray, np.ndarray]]
"""Masks of one object or region, (H, W) bool each: of the smaller file, of the other."""


def boundary_loss(run: Runner, calls: Iterable[Call], task: str) -> list[Figure]:
    """Measure the loss of a smaller file, which nothing judges.

    Args:
        run: calls it.
        calls: what the file in 32 bits was called with, and what it gave.
        task: of the file: see ``describe``.

    Raises:
        ValueError: it gave nothing.
    """
    pairs = _PAIRS[task]
    found = [
        _boundary_iou(*pair) for given, full in calls for pair in pairs(run(*given), full, given)
    ]
    if not found:
        raise ValueError(
            "The model finds nothing in the pictures of the check, so that the loss of a smaller "
            "file is unknown: give it some that it knows (--check-images)."
        )
    return [
        Figure("masks compared with those of 32 bits", len(found)),
        Figure("their mean loss of Boundary IoU", 1 - float(np.mean(found))),
        Figure("their largest loss of Boundary IoU", 1 - float(np.min(found))),
    ]


def _boundary_iou(first: np.ndarray, second: np.ndarray) -> float:
    width = boundary_width(first.shape)
    one, other = mask_boundary(first, width) > 0, mask_boundary(second, width) > 0
    union = np.count_nonzero(one | other)
    return np.count_nonzero(one & other) / union if union else 1.0


def _masks(small: Arrays, full: Arrays, _given: Arrays) -> Pairs:
    """Pair masks (R, 1, S, S) of the same boxes."""
    for one, other in zip(small[0][:, 0], full[0][:, 0], strict=True):
        yield one >= 0.5, other >= 0.5


def _regions(small: Arrays, full: Arrays, _given: Arrays) -> Pairs:
    """Pair regions of each class, of labels (..., H, W) or logits (..., C, H, W)."""
    for one, other in zip(_label_maps(small[-1]), _label_maps(full[-1]), strict=True):
        for label in np.union1d(one, other):
            yield one == label, other == label


def _label_maps(values: np.ndarray) -> np.ndarray:
    if not np.issubdtype(values.dtype, np.integer):
        values = values.argmax(-3) if values.shape[-3] > 1 else values[..., 0, :, :] > 0
    return values.reshape(-1, *values.shape[-2:])


def _objects(small: Arrays, full: Arrays, given: Arrays) -> Pairs:
    """Pair pasted masks of objects; one that the smaller file does not find has no pixel there."""
    size_hw = given[0].shape[-2:]
    ours, theirs = (PastedMasks(x[3][:, 0], x[0], size_hw) for x in (small, full))
    is_free = np.ones(len(ours), dtype=bool)
    for number, (box, label) in enumerate(zip(full[0], full[2], strict=True)):
        overlaps = np.where(is_free & (small[2] == label), box_iou(small[0], box[None])[:, 0], 0)
        best = int(overlaps.argmax()) if len(overlaps) else -1
        if best < 0 or overlaps[best] < _SAME_OBJECT:
            yield np.zeros(size_hw, dtype=bool), theirs[number]
            continue
        is_free[best] = False
        yield ours[best], theirs[number]


def _both(small: Arrays, full: Arrays, given: Arrays) -> Pairs:
    """Pair objects, and regions of each class, of a panoptic model."""
    yield from _objects(small, full, given)
    yield from _regions(small, full, given)


_PAIRS = {"semantic": _regions, "instances": _objects, "mask_head": _masks, "panoptic": _both}
