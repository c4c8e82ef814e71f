"""What an evaluation leaves: precision by IoU, recall, class and object size; AP is its mean."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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

    def metrics(self, *, high_ious: bool, every_iou: bool = False) -> dict[str, float]:
        """Return the numbers of ``ap_metrics``; AP is 0 where nothing is predicted."""
        is_known = (self.precision > -1).all(axis=1)
        ap = np.where(is_known, self.precision.mean(axis=1), np.nan)  # (T, K, A)
        named = ap_metrics(
            ap, self.iou_thresholds, self.class_names, high_ious=high_ious, every_iou=every_iou
        )
        return {name: float(value) for name, value in named.items()}


def ap_metrics(
    ap: np.ndarray,
    iou_thresholds: np.ndarray,
    class_names: Sequence[str],
    *,
    high_ious: bool,
    every_iou: bool = False,
) -> dict[str, np.ndarray]:
    """Name the usual means of AP as Detectron2 does, for one evaluation or many at once.

    Args:
        ap: (..., T, K, A) in [0, 1], NaN for a class without ground truth of that size.
        iou_thresholds: (T,).
        class_names: K names.
        high_ious: whether to add AP at ``HIGH_IOUS`` and their mean ``AP85-95``.
        every_iou: whether to add AP at each threshold, such as ``AP65``.

    Returns:
        (...) arrays in per cent: AP, AP50, AP75, APs, APm, APl; ``AP-NAME`` per class where there
        are several; what else was chosen. NaN where there is no ground truth.
    """
    all_sizes = ap[..., SIZES.index("all")]  # (..., T, K)
    at_iou = {
        f"AP{100 * iou:.0f}": _mean(all_sizes[..., row, :], 1)
        for row, iou in enumerate(iou_thresholds)
    }
    metrics = {"AP": _mean(all_sizes, 2), "AP50": at_iou["AP50"], "AP75": at_iou["AP75"]}
    metrics.update({f"AP{s[0]}": _mean(ap[..., SIZES.index(s)], 2) for s in SIZES[1:]})
    if len(class_names) > 1:
        for index, name in enumerate(class_names):
            metrics[f"AP-{name}"] = _mean(all_sizes[..., index], 1)
    if high_ious:
        high = {f"AP{100 * iou:.0f}": at_iou[f"AP{100 * iou:.0f}"] for iou in HIGH_IOUS}
        metrics.update({**high, "AP85-95": np.mean(list(high.values()), axis=0)})
    return {**metrics, **at_iou} if every_iou else metrics


def _mean(ap: np.ndarray, num_axes: int) -> np.ndarray:
    """Return means over the last axes in per cent, of what is not NaN."""
    axes = tuple(range(-num_axes, 0))
    count = (~np.isnan(ap)).sum(axis=axes)
    total = np.nansum(ap, axis=axes)
    return 100 * np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)
