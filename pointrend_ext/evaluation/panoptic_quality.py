"""Panoptic quality (Kirillov et al., CVPR 2019) and Boundary PQ (Cheng et al., CVPR 2021).

A predicted and a true segment of one class match where their IoU is above 0.5, so that no segment
matches two. PQ is the sum of the IoUs of matches, over the matches and half of the segments without
one: PQ = SQ x RQ, the mean IoU of matches and the F score of matching. Boundary PQ takes the
smaller of the IoUs of masks and of their boundaries instead.

Pixels of no true segment (void) do not count in an IoU, and a predicted segment without a match is
no mistake where more than half of it is void or a crowd of its class. Crowds match nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pointrend_ext.data.panoptic import Category
from pointrend_ext.evaluation.boundary import boundary_width, label_boundary
from pointrend_ext.evaluation.label_pair import mean_percent, ratio_or_nan

BOUNDARY_PQ = "boundary_pq"
_MATCH = 0.5
_NAMES = ("PQ", "SQ", "RQ")


@dataclass(frozen=True, eq=False)
class SegmentMap:
    """The segments of one image, true or predicted.

    Attributes:
        places: (H, W) integers: 0 for no segment, n for the n-th of S.
        classes: (S,) int64, places of their classes in the list of categories.
        is_crowd: (S,) bool, of the truth.
    """

    places: np.ndarray
    classes: np.ndarray
    is_crowd: np.ndarray


class PanopticMetrics:
    """Counts matches of single images, and turns sums of counts into scores.

    Args:
        categories: the C classes of the data set.
        with_boundary: whether Boundary PQ is computed as well.
    """

    def __init__(self, categories: Sequence[Category], *, with_boundary: bool = False) -> None:
        self.categories = tuple(categories)
        self.with_boundary = with_boundary

    def zero_counts(self) -> dict[str, np.ndarray]:
        """Return the counts of no image, to add others to."""
        names = ("pq", *((BOUNDARY_PQ,) if self.with_boundary else ()))
        return {name: np.zeros((len(self.categories), 4)) for name in names}

    def counts(self, predicted: SegmentMap, true: SegmentMap) -> dict[str, np.ndarray]:
        """Match the segments of one image.

        Returns:
            For ``pq``, and as chosen for ``boundary_pq``, (C, 4) float64: per class the sum of the
            IoUs of matches, their number, predicted and true segments without a match.

        Raises:
            ValueError: the maps have different sizes.
        """
        if predicted.places.shape != true.places.shape:
            raise ValueError(
                f"the prediction has (height, width) {predicted.places.shape}, the ground truth "
                f"{true.places.shape}; both must have the size of the image."
            )
        pixels = _common_pixels(predicted.places, true.places, predicted, true)
        both = pixels[1:, 1:]
        ious = {"pq": _ious(both, pixels[1:].sum(axis=1), both.sum(axis=0))}
        if self.with_boundary:
            ious[BOUNDARY_PQ] = np.minimum(ious["pq"], _boundary_ious(predicted, true))
        same = true.classes[:, None] == predicted.classes
        of_crowds = (both * (same & true.is_crowd[:, None])).sum(axis=0)
        excused = pixels[0, 1:] + of_crowds > 0.5 * pixels[:, 1:].sum(axis=0)
        may_match = same & ~true.is_crowd[:, None]
        return {
            name: self._tally(values * may_match, predicted, true, excused)
            for name, values in ious.items()
        }

    def _tally(
        self, ious: np.ndarray, predicted: SegmentMap, true: SegmentMap, excused: np.ndarray
    ) -> np.ndarray:
        matches = ious > _MATCH
        of_true, of_predicted = matches.any(axis=1), matches.any(axis=0)
        sums = (ious * matches).sum(axis=1)
        columns = (
            (true.classes, sums),
            (true.classes, of_true),
            (predicted.classes, ~of_predicted & ~excused),
            (true.classes, ~of_true & ~true.is_crowd),
        )
        number = len(self.categories)
        return np.stack([np.bincount(c, w, minlength=number) for c, w in columns], axis=1)

    def scores(self, counts: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Turn what ``counts`` returns for one image, or the sum over several, into scores.

        Returns:
            Per cent by name: ``PQ``, ``SQ``, ``RQ``, the same of things (``PQ_th``) and of stuff
            (``PQ_st``), of classes (``PQ-CLASS``), and as chosen of boundaries (``BoundaryPQ``).
            Means are over the classes that are in the truth or predicted; NaN where there is none.
        """
        scores: dict[str, float] = {}
        for name, array in counts.items():
            prefix = "Boundary" if name == BOUNDARY_PQ else ""
            values = _quality(array)
            things = np.array([c.isthing for c in self.categories], bool)
            for suffix, chosen in (("", np.ones_like(things)), ("_th", things), ("_st", ~things)):
                means = [mean_percent(v[chosen]) for v in values]
                scores |= {f"{prefix}{n}{suffix}": m for n, m in zip(_NAMES, means, strict=True)}
            for n, per_class in zip(_NAMES, values, strict=True):
                for c, value in zip(self.categories, per_class, strict=True):
                    scores[f"{prefix}{n}-{c.name}"] = 100 * float(value)
        return scores


def _common_pixels(
    of_predicted: np.ndarray, of_true: np.ndarray, predicted: SegmentMap, true: SegmentMap
) -> np.ndarray:
    """Count pixels by true and predicted segment.

    Args:
        of_predicted: any number of pixels of ``predicted.places``.
        of_true: the same pixels of ``true.places``.
        predicted: has P segments.
        true: has T segments.

    Returns:
        (1 + T, 1 + P) int64; first in row and column the pixels of no segment.
    """
    shape = 1 + len(true.classes), 1 + len(predicted.classes)
    codes = of_true.astype(np.int64) * shape[1] + of_predicted
    return np.bincount(codes.reshape(-1), minlength=shape[0] * shape[1]).reshape(shape)


def _ious(both: np.ndarray, true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the IoU (T, P) of segments.

    Args:
        both: (T, P) common pixels.
        true: (T,) pixels of true segments.
        predicted: (P,) pixels of predicted ones outside void.
    """
    return np.nan_to_num(ratio_or_nan(both, true[:, None] + predicted - both))


def _boundary_ious(predicted: SegmentMap, true: SegmentMap) -> np.ndarray:
    """Return the Boundary IoU (T, P); the boundary of a prediction is that of its whole mask."""
    width = boundary_width(true.places.shape)
    of_predicted, of_true = (
        label_boundary(x.places.astype(np.uint16), width) & (x.places > 0)
        for x in (predicted, true)
    )
    shared = of_predicted & of_true
    common = _common_pixels(predicted.places[shared], true.places[shared], predicted, true)
    counted = of_predicted & (true.places > 0)
    return _ious(
        common[1:, 1:],
        np.bincount(true.places[of_true], minlength=1 + len(true.classes))[1:],
        np.bincount(predicted.places[counted], minlength=1 + len(predicted.classes))[1:],
    )


def _quality(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return PQ, SQ and RQ of each class, in 0..1; NaN where a class is nowhere."""
    ious, matches, only_predicted, only_true = np.asarray(counts, np.float64).T
    whole = matches + 0.5 * (only_predicted + only_true)
    rq = ratio_or_nan(matches, whole)
    sq = np.where(np.isnan(rq), np.nan, np.nan_to_num(ratio_or_nan(ious, matches)))
    return ratio_or_nan(ious, whole), sq, rq
