"""What an evaluation leaves: precision by IoU, recall, class and object size; AP is its mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["HIGH_IOUS", "SIZES", "PrecisionTable"]

HIGH_IOUS = (0.85, 0.90, 0.95)
"""IoU thresholds that a mask with a blurred outline does not reach."""

SIZES = ("all", "small", "medium", "large")
"""Ranges of object area in the order of COCO's and LVIS's evaluators, with limits 32^2 and 96^2."""


@dataclass(frozen=True, eq=False)
class PrecisionTable:
    """Interpolated precision of one evaluation with COCO's or LVIS's rules.

    T IoU thresholds, R recall levels, K classes, A = 4 ranges of object area (``SIZES``).

    Attributes:
        precision: (T, R, K, A) in [0, 1]; -1 for a class without ground truth of that size.
        iou_thresholds: (T,), usually 0.50, 0.55, ..., 0.95.
        class_names: K names.
    """

    precision: np.ndarray
    iou_thresholds: np.ndarray
    class_names: tuple[str, ...]

    def average_precision(
        self, *, iou: float | None = None, size: str = "all", class_index: int | None = None
    ) -> float:
        """Return AP in per cent.

        Args:
            iou: one of the thresholds; None for the mean over all.
            size: one of ``SIZES``.
            class_index: position in ``class_names``; None for the mean over all classes.

        Returns:
            AP in [0, 100], or NaN where there is no ground truth. Without predictions AP is 0.

        Raises:
            ValueError: an IoU that was not evaluated, or an unknown size.
        """
        if size not in SIZES:
            raise ValueError(f"No AP for objects of size {size!r}: choose from {list(SIZES)}.")
        rows = slice(None) if iou is None else self._row(iou)
        classes = slice(None) if class_index is None else class_index
        precision = self.precision[rows, :, :, SIZES.index(size)][..., classes]
        precision = precision[precision > -1]
        return float(100 * precision.mean()) if precision.size else float("nan")

    def metrics(self, *, high_ious: bool) -> dict[str, float]:
        """Return the usual numbers under Detectron2's names, in per cent.

        Args:
            high_ious: whether to add AP at ``HIGH_IOUS`` and their mean ``AP85-95``.

        Returns:
            AP, AP50, AP75, APs, APm, APl; ``AP-NAME`` per class where there are several; with
            ``high_ious`` AP85, AP90, AP95, AP85-95. NaN where there is no ground truth.
        """
        metrics = {
            "AP": self.average_precision(),
            "AP50": self.average_precision(iou=0.50),
            "AP75": self.average_precision(iou=0.75),
        }
        metrics.update({f"AP{size[0]}": self.average_precision(size=size) for size in SIZES[1:]})
        if len(self.class_names) > 1:
            for index, name in enumerate(self.class_names):
                metrics[f"AP-{name}"] = self.average_precision(class_index=index)
        if high_ious:
            high = {f"AP{100 * iou:.0f}": self.average_precision(iou=iou) for iou in HIGH_IOUS}
            metrics.update({**high, "AP85-95": float(np.mean(list(high.values())))})
        return metrics

    def _row(self, iou: float) -> int:
        (matches,) = np.nonzero(np.isclose(self.iou_thresholds, iou))
        if len(matches) != 1:
            raise ValueError(
                f"No AP at IoU {iou}: this evaluation has {self.iou_thresholds.tolist()}."
            )
        return int(matches[0])
