"""COCO AP of boxes and masks, and Boundary AP, with the matching of faster-coco-eval.

Boundary AP (Cheng et al., CVPR 2021, section 5): the IoU of a predicted and a true mask becomes the
smaller of mask IoU and Boundary IoU; for crowd ground truth it stays the mask IoU.

faster-coco-eval 1.8 offers Boundary AP itself. Its boundaries are wrong where an image is flatter
than twice the boundary width (about 25 : 1), and it computes one for every mask, which takes most
of its time. Here they are computed only for masks whose mask IoU can make a match.
"""

import logging
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from pointrend_ext.evaluation.boundary import limit_by_boundary
from pointrend_ext.evaluation.coco_truth import CocoTruth
from pointrend_ext.evaluation.precision_table import PrecisionTable

MAX_DETECTIONS = 100
"""How many predictions of an image and class count by COCO's rules."""

_LOGGER = logging.getLogger(__name__)


def coco_precision(
    truth: CocoTruth,
    results: list[dict[str, Any]],
    task: str,
    max_detections: int = MAX_DETECTIONS,
) -> PrecisionTable:
    """Score predictions with COCO's rules: ``coco_evaluation`` and then ``precision_of``."""
    return precision_of(coco_evaluation(truth, results, task, max_detections), truth)


def coco_evaluation(
    truth: CocoTruth,
    results: list[dict[str, Any]],
    task: str,
    max_detections: int = MAX_DETECTIONS,
) -> COCOeval_faster:
    """Evaluate and accumulate.

    Args:
        truth: the ground truth.
        results: from ``results_file.check_results``; not changed.
        task: "bbox", "segm" or "boundary" (Boundary AP).
        max_detections: of each image and class, as many predictions count as this, those with the
            highest scores.

    Returns:
        faster-coco-eval's evaluation. Its ids are those of ``truth.numbered``, and the ids of its
        predictions are positions in ``results``, from 1.
    """
    evaluate, shape, iou_type = _EVALUATIONS[task]
    numbers = {image_id: number for number, image_id in enumerate(truth.sizes_hw)}
    coco_truth = COCO(truth.numbered(task))
    # With a box, the evaluator would take the size of the box for that of the mask.
    predictions = [
        {
            "image_id": numbers[result["image_id"]],
            "category_id": truth.class_numbers[result["category_id"]],
            "score": result["score"],
            shape: result[shape],
        }
        for result in results
    ]
    evaluation = evaluate(
        coco_truth, coco_truth.loadRes(predictions), iou_type, print_function=_LOGGER.debug
    )
    evaluation.params.maxDets = [max_detections]
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation


def precision_of(evaluation: COCOeval_faster, truth: CocoTruth) -> PrecisionTable:
    """Return precision for IoU 0.50, 0.55, ..., 0.95; pycocotools' for "bbox" and "segm"."""
    precision = evaluation.eval["precision"][..., 0]  # (T, R, K, A, 1) -> (T, R, K, A)
    names = tuple(truth.names_by_number[number] for number in evaluation.params.catIds)
    return PrecisionTable(precision, np.asarray(evaluation.params.iouThrs), names)


class _BoundaryEvaluation(COCOeval_faster):
    """COCO's mask evaluation with the IoU of Boundary AP."""

    def computeIoU(self, imgId: int, catId: int) -> np.ndarray | list[float]:
        """Return the IoU of every prediction (by falling score) with every true mask."""
        ious = super().computeIoU(imgId, catId)
        if len(ious) == 0:
            return ious
        predictions, truths = objects_of(self, imgId, catId)
        image = self.cocoGt.imgs[imgId]
        limit_by_boundary(
            ious,
            lambda row: self.cocoDt.annToRLE(predictions[row]),
            lambda column: self.cocoGt.annToRLE(truths[column]),
            (image["height"], image["width"]),
            lowest=self.params.iouThrs.min(),
            is_crowd=is_crowd(truths),
        )
        return ious


def objects_of(
    evaluation: COCOeval_faster, number: int, class_id: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the predictions of one image and class that count, by falling score, and the truth."""
    predictions = evaluation.dt_dataset.get(number, class_id)
    predictions = sorted(predictions, key=lambda prediction: -prediction["score"])
    return predictions[: evaluation.params.maxDets[-1]], evaluation.gt_dataset.get(number, class_id)


def is_crowd(truths: list[dict[str, Any]]) -> np.ndarray:
    """(G,) bool: which true objects are crowds."""
    return np.array([bool(truth.get("iscrowd", 0)) for truth in truths], dtype=bool)


_EVALUATIONS = {
    "bbox": (COCOeval_faster, "bbox", "bbox"),
    "segm": (COCOeval_faster, "segmentation", "segm"),
    "boundary": (_BoundaryEvaluation, "segmentation", "segm"),
}
"""By task: what evaluates, what it reads of a prediction, and its name of the IoU."""
