"""Which predictions were right: enough to compute AP again for any sample of the images.

AP is no mean over images, so an interval for it needs the whole computation for every sample. What
costs time, IoU and matching, happens inside single images and is done once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

_RECALL_LEVELS = np.linspace(0, 1, 101)  # as in COCO's and LVIS's evaluators
_CHUNK_ELEMENTS = 4_000_000


@dataclass(frozen=True, eq=False)
class ClassMatches:
    """The predictions and true objects of one class in all images.

    T IoU thresholds, A ranges of object area, D predictions by falling score, G true objects.

    Attributes:
        images: (D,) position of the image of each prediction.
        scores: (D,) float64.
        is_true: (T, A, D) bool, it matches an object.
        is_wrong: (T, A, D) bool, it matches none; neither is set where it does not count: matched
            with a crowd, or of another size.
        truth_images: (G,) position of the image of each true object.
        truth_counts: (A, G) bool, whether the object is to be found.
    """

    images: np.ndarray
    scores: np.ndarray
    is_true: np.ndarray
    is_wrong: np.ndarray
    truth_images: np.ndarray
    truth_counts: np.ndarray

    @classmethod
    def joined(
        cls, records: "Sequence[ClassMatches]", num_thresholds: int, num_areas: int
    ) -> "ClassMatches":
        """Put images (or none) together, by falling score, equal ones in the order of images."""
        none, whole = np.zeros((num_thresholds, num_areas, 0), bool), np.zeros(0, np.int64)
        parts = [cls(whole, np.zeros(0), none, none, whole, none[0]), *records]
        joined = {
            field.name: np.concatenate([getattr(part, field.name) for part in parts], axis=-1)
            for field in fields(cls)
        }
        order = np.lexsort((joined["images"], -joined["scores"]))
        for name in ("images", "scores", "is_true", "is_wrong"):
            joined[name] = joined[name][..., order]
        return cls(**joined)


@dataclass(frozen=True, eq=False)
class MatchTable:
    """The matches of one evaluation.

    Attributes:
        classes: one per class.
        class_names: their names.
        iou_thresholds: (T,).
    """

    classes: tuple[ClassMatches, ...]
    class_names: tuple[str, ...]
    iou_thresholds: np.ndarray


def average_precisions(table: MatchTable, weights: np.ndarray) -> np.ndarray:
    """Compute AP for samples of the images.

    An image of weight w counts like w copies of it. With all weights 1 the result is that of COCO's
    and LVIS's evaluators. Copies of one prediction follow each other in the order of scores, also
    where another prediction of the same image has the same score.

    Args:
        table: the matches.
        weights: (B, I) integers from 0: how often each of I images is in each of B samples.

    Returns:
        (B, T, K, A) float64 in [0, 1]; NaN for a class that has no true object of that size in the
        sample.
    """
    weights = np.asarray(weights, dtype=np.int32)
    columns = [_class_precisions(matches, weights) for matches in table.classes]
    return np.stack(columns, axis=2)


def _class_precisions(matches: ClassMatches, weights: np.ndarray) -> np.ndarray:
    """Return (B, T, A) AP of one class."""
    num_thresholds, num_areas, num_predictions = matches.is_true.shape
    precisions = np.full((len(weights), num_thresholds, num_areas), np.nan)
    for area in range(num_areas):
        totals = weights[:, matches.truth_images[matches.truth_counts[area]]].sum(axis=1)
        is_true, is_wrong = matches.is_true[:, area], matches.is_wrong[:, area]
        # Most predictions are wrong at every threshold: they are counted once, up to the next of
        # the others.
        wrong_anyway = is_wrong.all(axis=0)
        others = np.flatnonzero((is_true | is_wrong).any(axis=0) & ~wrong_anyway)
        step = max(1, _CHUNK_ELEMENTS // (num_thresholds * len(others) + num_predictions + 1))
        for start in range(0, len(weights) if totals.any() else 0, step):
            chunk = slice(start, start + step)
            weight = weights[chunk, matches.images]  # (B, D)
            before = np.cumsum(weight * wrong_anyway, axis=1)[:, others]
            weight = weight[:, others]
            true = np.cumsum(weight * is_true[:, None, others], axis=2)  # (T, B, M)
            wrong = np.cumsum(weight * is_wrong[:, None, others], axis=2) + before
            precisions[chunk, :, area] = _interpolated(true, wrong, totals[chunk]).T
    return precisions


def _interpolated(true: np.ndarray, wrong: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Return (T, B) means of the interpolated precision over the recall levels.

    ``true`` and ``wrong`` (T, B, M) are predictions up to each place, ``totals`` (B,) true objects.
    """
    found = true + wrong
    precision = np.divide(true, found, out=np.zeros(true.shape), where=found > 0)
    precision = np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]
    recall = true / np.maximum(totals, 1)[:, None]
    # A place is where all recall levels between its recall and that of the place before are read.
    levels = np.searchsorted(_RECALL_LEVELS, recall, side="right")
    mean = (precision * np.diff(levels, axis=-1, prepend=0)).sum(axis=-1) / len(_RECALL_LEVELS)
    return np.where(totals > 0, mean, np.nan)
