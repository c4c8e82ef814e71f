"""The same true object in the predictions of several models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
from faster_coco_eval import COCOeval_faster

from pointrend_ext.evaluation.boundary import boundary_width, rle_boundary
from pointrend_ext.evaluation.coco_matches import image_matches, match

__all__ = ["MATCH_IOU", "compare_objects"]

MATCH_IOU = 0.5
"""Mask IoU from which a model has found an object."""
_OUTLINES, _MISSED = 60, 20  # how many objects are listed


def compare_objects(evaluations: Mapping[str, COCOeval_faster]) -> list[dict[str, Any]]:
    """List the objects in which the models differ most.

    Objects are matched as COCO does at mask IoU 0.5; crowds are left out. First come those that all
    models found, the largest difference of Boundary IoU first (one model: the lowest Boundary IoU
    first), then those that not all found, large ones first.

    Args:
        evaluations: of masks ("segm"), by model, from ``coco_ap.coco_evaluation`` on the same
            ground truth.

    Returns:
        Dicts with ``annotation_id``, ``image`` (position), ``category_id``, ``found_by_all`` and
        ``models``: per model ``prediction`` (position in its results), ``score``, ``iou`` and
        ``boundary_iou`` in [0, 1], or None where it found nothing.
    """
    found = {name: _found(evaluation) for name, evaluation in evaluations.items()}
    truths = next(iter(evaluations.values())).cocoGt.anns
    objects = [
        {
            "annotation_id": i,
            "image": truth["image_id"],
            "category_id": truth["category_id"],
            "found_by_all": all(i in by_id for by_id in found.values()),
            "models": {name: by_id.get(i) for name, by_id in found.items()},
        }
        for i, truth in truths.items()
        if not truth.get("iscrowd", 0)
    ]
    outlines = sorted((o for o in objects if o["found_by_all"]), key=_outline_rank)
    missed = [o for o in objects if not o["found_by_all"] and any(o["models"].values())]
    if len(evaluations) == 1:
        missed = [o for o in objects if not o["found_by_all"]]
    missed.sort(key=lambda o: (-truths[o["annotation_id"]]["area"], str(o["annotation_id"])))
    return outlines[:_OUTLINES] + missed[:_MISSED]


def _outline_rank(compared: dict[str, Any]) -> tuple[float, str]:
    ious = [found["boundary_iou"] for found in compared["models"].values()]
    spread = max(ious) - min(ious) if len(ious) > 1 else 1 - ious[0]
    return -spread, str(compared["annotation_id"])


def _found(evaluation: COCOeval_faster) -> dict[Any, dict[str, Any]]:
    """Return what one model found, by annotation id."""
    found = {}
    for number, _, predictions, truths, ious in image_matches(evaluation):
        is_crowd = np.array([bool(truth.get("iscrowd", 0)) for truth in truths], dtype=bool)
        matched = match(ious, np.array([MATCH_IOU]), is_crowd[None], is_crowd)[0, 0]
        image = evaluation.cocoGt.imgs[number]
        width = boundary_width((image["height"], image["width"]))
        for row in np.flatnonzero(matched >= 0):
            truth, prediction = truths[matched[row]], predictions[row]
            if is_crowd[matched[row]]:
                continue
            masks = [evaluation.cocoGt.annToRLE(truth), evaluation.cocoDt.annToRLE(prediction)]
            found[truth["id"]] = {
                "prediction": prediction["id"] - 1,
                "score": float(prediction["score"]),
                "iou": float(ious[row, matched[row]]),
                "boundary_iou": _boundary_iou(masks, width),
            }
    return found


def _boundary_iou(masks: Sequence[dict[str, Any]], width: int) -> float:
    boundaries = [rle_boundary(mask, width) for mask in masks]
    return float(mask_util.iou(boundaries[:1], boundaries[1:], [0])[0, 0])
