"""COCO AP, with the thresholds at which outlines matter shown one by one."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from detectron2.evaluation import COCOEvaluator

__all__ = ["HIGH_IOUS", "InstanceEvaluator", "average_precision_at"]

HIGH_IOUS = (0.85, 0.90, 0.95)
"""IoU thresholds that a mask with a blurred outline does not reach."""


def average_precision_at(coco_eval: Any, iou: float) -> float:
    """Return AP in per cent at one IoU threshold, over all classes and object sizes.

    Args:
        coco_eval: a ``COCOeval`` after ``accumulate``.
        iou: one of its thresholds, 0.50, 0.55, ..., 0.95.

    Raises:
        ValueError: an IoU that was not evaluated.
    """
    thresholds = np.asarray(coco_eval.params.iouThrs)
    (matches,) = np.nonzero(np.isclose(thresholds, iou))
    if len(matches) != 1:
        raise ValueError(f"No AP at IoU {iou}: this evaluation has {thresholds.tolist()}.")
    # (IoU, recall, class, object size, detections per image); -1 marks classes without ground truth
    precision = coco_eval.eval["precision"][matches[0], :, :, 0, -1]
    precision = precision[precision > -1]
    return float(100 * precision.mean()) if precision.size else float("nan")


class InstanceEvaluator(COCOEvaluator):
    """Detectron2's COCO evaluator, with mask AP at IoU .85, .90 and .95 beside its own six numbers.

    Adds ``AP85``, ``AP90``, ``AP95`` and their mean ``AP85-95`` to the results of ``segm``.
    """

    def _derive_coco_results(
        self, coco_eval: Any, iou_type: str, class_names: list[str] | None = None
    ) -> dict[str, float]:
        results = super()._derive_coco_results(coco_eval, iou_type, class_names)
        if iou_type == "segm":
            high = {
                f"AP{round(100 * iou)}": (
                    average_precision_at(coco_eval, iou) if coco_eval is not None else float("nan")
                )
                for iou in HIGH_IOUS
            }
            high["AP85-95"] = float(np.mean(list(high.values())))
            logging.getLogger(__name__).info(
                "Mask AP at high IoU: %s",
                ", ".join(f"{name} {value:.2f}" for name, value in high.items()),
            )
            results.update(high)
        return results
