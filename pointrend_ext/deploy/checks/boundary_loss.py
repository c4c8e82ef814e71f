"""What a smaller file loses along outlines, against the file in 32 bits."""

from collections.abc import Iterator, Sequence

import numpy as np

from pointrend_ext.deploy.checks.agreement import Figure
from pointrend_ext.deploy.running import Runner
from pointrend_ext.evaluation.boundary import boundary_width, mask_boundary
from pointrend_ext.inference.demo.same_objects import box_iou
from pointrend_ext.inference.pasted_masks import PastedMasks

_SAME_OBJECT = 0.5
"""Intersection over union of the boxes from which two detections of a class are one object."""

Arrays = Sequence[np.ndarray]
Pairs = Iterator[tuple[np.ndarray, np.ndarray]]
"""Masks of one object or region, (H, W) bool each: of the smaller file, of the other."""


class BoundaryLoss(Runner):
    """Runs a file in 32 bits, and measures what a smaller one loses; nothing judges it."""

    def __init__(self, small: Runner, full: Runner, task: str) -> None:
        """Take both files, and their task: see ``describe``."""
        self._small, self._full, self._pairs = small, full, _PAIRS[task]
        self._overlaps: dict[int, list[float]] = {}  # by what the files were called with

    def __call__(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """Run both, and return the results in 32 bits."""
        return self._compare(arrays, self._full(*arrays))

    def with_choices(self, *arrays: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Run both."""
        found, chosen = self._full.with_choices(*arrays)
        return self._compare(arrays, found), chosen

    def limited_to(self, number: int) -> Runner | None:
        """Limit the file in 32 bits, which is then run alone."""
        return self._full.limited_to(number)

    def figures(self) -> list[Figure]:
        """Return the loss along outlines.

        Raises:
            ValueError: there was nothing.
        """
        overlaps = [value for values in self._overlaps.values() for value in values]
        if not overlaps:
            raise ValueError(
                "The model finds nothing in the pictures of the check, so that the loss of a "
                "smaller file is unknown: give it some that it knows (--check-images)."
            )
        return [
            Figure("masks compared with those of 32 bits", len(overlaps)),
            Figure("their mean loss of Boundary IoU", 1 - float(np.mean(overlaps))),
            Figure("their largest loss of Boundary IoU", 1 - float(np.min(overlaps))),
        ]

    def _compare(self, arrays: Arrays, full: list[np.ndarray]) -> list[np.ndarray]:
        call = hash(tuple(x.tobytes() for x in arrays))
        if call not in self._overlaps:
            pairs = self._pairs(self._small(*arrays), full, arrays)
            self._overlaps[call] = [_boundary_iou(*pair) for pair in pairs]
        return full


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
