"""COCO's matching of predictions with true objects, one record per prediction."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from faster_coco_eval import COCOeval_faster

from pointrend_ext.evaluation.coco_ap import is_crowd, objects_of
from pointrend_ext.evaluation.matches import ClassMatches, MatchTable


class ImageMatches(NamedTuple):
    """The D predictions (by falling score) and G objects of one class in one image.

    Attributes:
        number: of the image.
        class_id: number of the category, as in ``CocoTruth.numbered``.
        predictions: D annotations.
        truths: G annotations.
        ious: (D, G).
        is_crowd: (G,) bool.
    """

    number: int
    class_id: int
    predictions: list[dict[str, Any]]
    truths: list[dict[str, Any]]
    ious: np.ndarray
    is_crowd: np.ndarray


def coco_matches(evaluation: COCOeval_faster, class_names: Mapping[int, str]) -> MatchTable:
    """Match the predictions of a ``coco_ap.coco_evaluation``.

    Returns:
        Matches with the positions of the images in the ground truth, for the area ranges of
        ``precision_table.SIZES``; the AP from them is that of the evaluation.
    """
    parameters = evaluation.params
    thresholds = np.asarray(parameters.iouThrs)
    areas = np.asarray(parameters.areaRng, dtype=np.float64)
    records: dict[int, list[ClassMatches]] = {k: [] for k in parameters.catIds}
    for image in image_matches(evaluation):
        records[image.class_id].append(_image_record(image, thresholds, areas))
    classes = (ClassMatches.joined(r, len(thresholds), len(areas)) for r in records.values())
    return MatchTable(tuple(classes), tuple(class_names[k] for k in records), thresholds)


def image_matches(evaluation: COCOeval_faster) -> Iterator[ImageMatches]:
    """Go through images and classes in the evaluation's order, where there is anything."""
    for class_id in evaluation.params.catIds:
        for number in evaluation.params.imgIds:
            found, true = objects_of(evaluation, number, class_id)
            if true or found:
                ious = np.asarray(evaluation.ious[number, class_id]).reshape(len(found), len(true))
                yield ImageMatches(int(number), class_id, found, true, ious, is_crowd(true))


def match(
    ious: np.ndarray, thresholds: np.ndarray, is_ignored: np.ndarray, is_crowd: np.ndarray
) -> np.ndarray:
    """Match predictions with true objects by COCO's rules, the best score first.

    A prediction takes the free object of the highest IoU, the last of equal ones, and an ignored
    object only if no other reaches the threshold. A crowd is never used up.

    Args:
        ious: (D, G) of predictions by falling score and true objects.
        thresholds: (T,) lowest IoU of a match.
        is_ignored: (A, G) bool, objects that do not count.
        is_crowd: (G,) bool.

    Returns:
        (T, A, D) int64, the number of the object, -1 for none.
    """
    num_predictions, num_truths = ious.shape
    matched = np.full((len(thresholds), len(is_ignored), num_predictions), -1)
    is_free = np.ones((len(thresholds), *is_ignored.shape), dtype=bool)
    for d in np.flatnonzero((ious >= thresholds.min()).any(axis=1)):
        can_match = (ious[d] >= thresholds[:, None, None]) & (is_free | is_crowd)  # (T, A, G)
        counted = can_match & ~is_ignored
        choice = np.where(counted.any(axis=-1, keepdims=True), counted, can_match)
        last_best = np.where(choice, ious[d], -1)[..., ::-1].argmax(axis=-1)
        t, a = np.nonzero(choice.any(axis=-1))
        taken = num_truths - 1 - last_best[t, a]
        matched[t, a, d] = taken
        is_free[t, a, taken] = False
    return matched


def _image_record(image: ImageMatches, thresholds: np.ndarray, areas: np.ndarray) -> ClassMatches:
    is_ignored = image.is_crowd | ~_in_range(image.truths, areas)  # (A, G)
    matched = match(image.ious, thresholds, is_ignored, image.is_crowd)  # (T, A, D)
    is_matched = matched >= 0
    padded = np.concatenate([is_ignored, np.zeros((len(areas), 1), bool)], axis=1)  # -1: not there
    ignored = padded[np.arange(len(areas))[:, None], matched]
    return ClassMatches(
        np.full(len(image.predictions), image.number),
        np.array([p["score"] for p in image.predictions], dtype=np.float64),
        is_matched & ~ignored,
        ~is_matched & _in_range(image.predictions, areas),
        np.full(len(image.truths), image.number),
        ~is_ignored,
    )


def _in_range(objects: list[dict[str, Any]], areas: np.ndarray) -> np.ndarray:
    """(A, n) bool: the area of the object is in the range."""
    sizes = np.array([float(o["area"]) for o in objects])
    return (sizes >= areas[:, :1]) & (sizes <= areas[:, 1:])
