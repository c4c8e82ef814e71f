"""The metrics of a semantic data set: counts of one image, and scores of any sum of counts."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from pointrend_ext.evaluation.boundary_semantic import (
    boundary_f_counts,
    boundary_f_scores,
    boundary_iou_counts,
    trimap_counts,
)
from pointrend_ext.evaluation.label_pair import (
    LabelPair,
    class_counts,
    class_iou,
    label_pair,
    mean_percent,
    ratio_or_nan,
)

TRIMAP_WIDTHS = (1, 3, 5)
"""Widths of the trimaps in pixels."""

_COUNTS: dict[str, Callable[[LabelPair], np.ndarray]] = {
    "area": class_counts,
    "boundary_iou": boundary_iou_counts,
    "trimap": lambda pair: trimap_counts(pair, TRIMAP_WIDTHS),
    "boundary_f": boundary_f_counts,
}
BOUNDARY_METRICS = tuple(name for name in _COUNTS if name != "area")
"""Names of the metrics that can be computed beside those of areas."""


class SemanticMetrics:
    """Counts pixels of single images and turns sums of counts into scores.

    Counts are small integer arrays, so that scores of any set of images (a process's share, a
    bootstrap sample) are those of the sum of their counts:

    >>> metrics = SemanticMetrics(["sky", "tree"], ignore_label=255)
    >>> image = np.array([[0, 0, 1]])
    >>> counts = metrics.counts(image, np.array([[0, 1, 1]]))
    >>> counts["area"].tolist()  # per class: in both maps, in the prediction, in the truth
    [[1, 2, 1], [1, 1, 2]]
    >>> metrics.scores(counts)["mIoU"]
    50.0

    Args:
        class_names: names of the labels 0..C-1.
        ignore_label: pixels with this true label are not evaluated.
        boundary: names out of ``BOUNDARY_METRICS``.

    Raises:
        ValueError: An unknown metric.
    """

    def __init__(
        self, class_names: Sequence[str], ignore_label: int, boundary: Sequence[str] = ()
    ) -> None:
        unknown = [name for name in boundary if name not in BOUNDARY_METRICS]
        if unknown:
            raise ValueError(
                f"Unknown boundary metrics {unknown} of label maps; known are "
                f"{list(BOUNDARY_METRICS)}."
            )
        self.class_names = tuple(class_names)
        self.ignore_label = ignore_label
        self.boundary = tuple(boundary)

    def zero_counts(self) -> dict[str, np.ndarray]:
        """Return the counts of no image, to add others to."""
        ignored = np.full((1, 1), self.ignore_label)
        return self.counts(ignored, ignored)

    def counts(self, prediction: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
        """Count the pixels of one image.

        Args:
            prediction: (H, W) integers, a class or ``ignore_label`` (no class).
            truth: (H, W) integers, a class or ``ignore_label`` (not evaluated).

        Returns:
            int64 arrays: ``area`` (C, 3), and those chosen of ``boundary_iou`` (C, 3), ``trimap``
            (W, C, 3) for the W ``TRIMAP_WIDTHS`` and ``boundary_f`` (C, 4); see the functions in
            ``boundary_semantic``.

        Raises:
            ValueError: The sizes differ, or a value is neither a class nor ``ignore_label``.
        """
        pair = label_pair(prediction, truth, len(self.class_names), self.ignore_label)
        return {name: _COUNTS[name](pair) for name in ("area", *self.boundary)}

    def scores(self, counts: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Turn what ``counts`` returns for one image, or the sum over several, into scores.

        Returns:
            Per cent by name: Detectron2's ``mIoU``, ``fwIoU``, ``IoU-CLASS``, ``mACC``, ``pACC``
            and ``ACC-CLASS``, and as chosen ``mBoundaryIoU`` and ``BoundaryIoU-CLASS``;
            ``mTrimapIoUw`` and ``TrimapIoUw-CLASS`` for each width w; ``mBoundaryF``,
            ``BoundaryF-CLASS``, ``BoundaryPrecision-CLASS`` and ``BoundaryRecall-CLASS``. NaN for
            classes that the truth does not have; means are over the others.
        """
        scores = self._area_scores(counts["area"])
        if "boundary_iou" in self.boundary:
            scores.update(self._with_mean("BoundaryIoU", class_iou(counts["boundary_iou"])))
        if "trimap" in self.boundary:
            for width, trimap in zip(TRIMAP_WIDTHS, counts["trimap"], strict=True):
                scores.update(self._with_mean(f"TrimapIoU{width}", class_iou(trimap)))
        if "boundary_f" in self.boundary:
            precision, recall, f = boundary_f_scores(counts["boundary_f"])
            scores.update(self._with_mean("BoundaryF", f))
            scores.update(self._by_class("BoundaryPrecision", precision))
            scores.update(self._by_class("BoundaryRecall", recall))
        return scores

    def notices(self, counts: Mapping[str, np.ndarray]) -> list[str]:
        """Return what to know before reading the scores: that means are over a single class."""
        is_true = counts["area"][:, 2] > 0
        if is_true.sum() != 1 or len(is_true) == 1:
            return []
        only = self.class_names[int(is_true.argmax())]
        return [
            f"The means are over 1 of {len(is_true)} classes: {only!r} alone has true pixels, so "
            "that predicting it everywhere scores 100."
        ]

    def _area_scores(self, counts: np.ndarray) -> dict[str, float]:
        both, _, true = np.asarray(counts, dtype=np.float64).T
        iou, total = class_iou(counts), true.sum()
        accuracy = ratio_or_nan(both, true)
        weighted = np.nansum(iou * true) / total if total else np.nan
        iou_scores = self._with_mean("IoU", iou)
        return {
            "mIoU": iou_scores.pop("mIoU"),
            "fwIoU": 100 * float(weighted),
            **iou_scores,
            "mACC": mean_percent(accuracy),
            "pACC": 100 * float(both.sum() / total if total else np.nan),
            **self._by_class("ACC", accuracy),
        }

    def _with_mean(self, name: str, values: np.ndarray) -> dict[str, float]:
        return {f"m{name}": mean_percent(values), **self._by_class(name, values)}

    def _by_class(self, name: str, values: np.ndarray) -> dict[str, float]:
        pairs = zip(self.class_names, values, strict=True)
        return {f"{name}-{class_name}": 100 * float(value) for class_name, value in pairs}
