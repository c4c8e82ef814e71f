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
import pycocotools.mask as mask_util
from faster_coco_eval import COCO, COCOeval_faster

from pointrend_ext.evaluation.boundary import boundary_width, rle_boundary
from pointrend_ext.evaluation.coco_truth import CocoTruth
from pointrend_ext.evaluation.precision_table import PrecisionTable

__all__ = ["coco_evaluation", "coco_precision", "is_crowd", "objects_of", "precision_of"]

_LOGGER = logging.getLogger(__name__)


def coco_precision(truth: CocoTruth, results: list[dict[str, Any]], task: str) -> PrecisionTable:
    """Score predictions with COCO's rules: ``coco_evaluation`` and then ``precision_of``."""
    return precision_of(coco_evaluation(truth, results, task), truth)


def coco_evaluation(truth: CocoTruth, results: list[dict[str, Any]], task: str) -> COCOeval_faster:
    """Evaluate and accumulate.

    Args:
        truth: the ground truth.
        results: predictions in COCO's results format, checked (``results_file.check_results``);
            not changed. Of each image and class those with the 100 highest scores count.
        task: "bbox", "segm" or "boundary" (Boundary AP).

    Returns:
        faster-coco-eval's evaluation. Its ids are those of ``truth.numbered``, and the ids of its
        predictions are positions in ``results``, from 1.

    Raises:
        KeyError: an unknown task.
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
    evaluation.params.maxDets = [100]
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation


def precision_of(evaluation: COCOeval_faster, truth: CocoTruth) -> PrecisionTable:
    """Return precision for IoU 0.50, 0.55, ..., 0.95; pycocotools' for "bbox" and "segm"."""
    precision = evaluation.eval["precision"][..., 0]  # (T, R, K, A, 1) -> (T, R, K, A)
    names = tuple(truth.names_by_number[number] for number in evaluation.params.catIds)
    return PrecisionTable(precision, np.asarray(evaluation.params.iouThrs), names)


class _BoundaryEvaluation(COCOeval_faster):
    """COCO's mask evaluation with the IoU of Boundary AP.

    An IoU below the lowest threshold is left as the mask IoU: the smaller of it and another number
    matches nothing either.
    """

    def computeIoU(self, imgId: int, catId: int) -> np.ndarray | list[float]:
        """Return the IoU of every prediction (by falling score) with every true mask."""
        ious = super().computeIoU(imgId, catId)
        if len(ious) == 0:
            return ious
        predictions, truths = objects_of(self, imgId, catId)
        can_match = (ious >= self.params.iouThrs.min()) & ~is_crowd(truths)
        rows, columns = np.flatnonzero(can_match.any(axis=1)), np.flatnonzero(can_match.any(axis=0))
        if len(rows) == 0:
            return ious
        image = self.cocoGt.imgs[imgId]
        width = boundary_width((image["height"], image["width"]))
        boundary_ious = mask_util.iou(
            [rle_boundary(self.cocoDt.annToRLE(predictions[row]), width) for row in rows],
            [rle_boundary(self.cocoGt.annToRLE(truths[column]), width) for column in columns],
            [0] * len(columns),
        )
        block = np.ix_(rows, columns)
        ious[block] = np.minimum(ious[block], boundary_ious)
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
