"""The same true object in the predictions of several models."""

from collections.abc import Mapping

import numpy as np
from faster_coco_eval import COCOeval_faster

from pointrend_ext.data.coco import picture_path
from pointrend_ext.evaluation.boundary import boundary_width, pair_boundary_iou
from pointrend_ext.evaluation.coco_matches import image_matches, match
from pointrend_ext.evaluation.offline.data_sets import InstanceData
from pointrend_ext.evaluation.offline.record import FoundObject, ObjectExample

MATCH_IOU = 0.5
"""Mask IoU from which a model has found an object."""
_OUTLINES, _MISSED = 60, 20  # how many objects are listed


def compare_objects(
    evaluations: Mapping[str, COCOeval_faster], data: InstanceData
) -> tuple[ObjectExample, ...]:
    """List the objects in which the models differ most.

    Objects are matched as COCO does at mask IoU 0.5; crowds are left out. First come those that all
    models found, the largest difference of Boundary IoU first (one model: the lowest Boundary IoU
    first), then those that not all found, large ones first.

    Args:
        evaluations: of masks ("segm"), by model, from ``coco_ap.coco_evaluation``; at least one.
        data: the ground truth of all of them.
    """
    found = {name: _found(evaluation) for name, evaluation in evaluations.items()}
    truths = next(iter(evaluations.values())).cocoGt.anns  # with positions of images
    image_ids, image_files = list(data.truth.sizes_hw), data.image_files()
    ranked: list[tuple[float, str, ObjectExample]] = []
    for number, truth in truths.items():
        if truth.get("iscrowd", 0):
            continue
        annotation_id = data.truth.annotation(number)["id"]
        models = {name: by_number.get(number) for name, by_number in found.items()}
        ious = [found_by.boundary_iou for found_by in models.values() if found_by is not None]
        image_id = image_ids[truth["image_id"]]
        example = ObjectExample(
            annotation_id,
            image_id,
            picture_path(data.image_root, image_files[image_id]) if data.image_root else None,
            data.truth.names_by_number[truth["category_id"]],
            len(ious) == len(models),
            models,
        )
        if example.found_by_all:
            spread = max(ious) - min(ious) if len(ious) > 1 else 1 - ious[0]
            ranked.append((-spread, str(annotation_id), example))
        elif ious or len(models) == 1:
            ranked.append((-truth["area"], str(annotation_id), example))
    examples = [example for *_, example in sorted(ranked, key=lambda entry: entry[:2])]
    outlines = [example for example in examples if example.found_by_all]
    missed = [example for example in examples if not example.found_by_all]
    return tuple(outlines[:_OUTLINES] + missed[:_MISSED])


def _found(evaluation: COCOeval_faster) -> dict[int, FoundObject]:
    """Return what one model found, by the number of the annotation."""
    found = {}
    for number, _, predictions, truths, ious, is_crowd in image_matches(evaluation):
        matched = match(ious, np.array([MATCH_IOU]), is_crowd[None], is_crowd)[0, 0]
        image = evaluation.cocoGt.imgs[number]
        width = boundary_width((image["height"], image["width"]))
        for row in np.flatnonzero(matched >= 0):
            truth, prediction = truths[matched[row]], predictions[row]
            if is_crowd[matched[row]]:
                continue
            true = evaluation.cocoGt.annToRLE(truth)
            found[truth["id"]] = FoundObject(
                prediction["id"] - 1,
                float(prediction["score"]),
                float(ious[row, matched[row]]),
                pair_boundary_iou(true, evaluation.cocoDt.annToRLE(prediction), width),
            )
    return found
