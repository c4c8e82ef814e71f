"""The lvis package, with Boundary AP; what it matched."""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np

from pointrend_ext.evaluation.boundary import limit_by_boundary
from pointrend_ext.evaluation.coco_truth import CocoTruth
from pointrend_ext.evaluation.matches import ClassMatches, MatchTable

MAX_LVIS_DETECTIONS = 300
"""How many predictions of an image, of all classes together, count by LVIS's rules."""


@contextlib.contextmanager
def imported_lvis() -> Iterator[ModuleType]:
    """Give the lvis package, usable inside the context.

    The logging of the process, which lvis configures when it is imported, stays as it is.

    Raises:
        ImportError: it is not installed.
    """
    handlers, level = logging.root.handlers[:], logging.root.level
    try:
        import lvis
    except ImportError as error:
        raise ImportError(
            f"LVIS's rules (and AP*) need the package lvis ({error}): pip install lvis."
        ) from error
    finally:
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)
    chatter = logging.getLogger("lvis.results")  # warns of every list of predictions
    with mock.patch.object(chatter, "disabled", True):
        yield lvis


def checked_lvis(lvis_class: type, truth: CocoTruth) -> Any:
    """Return a checked annotation file as an ``lvis.LVIS``, not parsed again.

    Annotations are numbered from 1: lvis takes the id 0 for "not found". It writes into them.
    """
    annotations = [
        {**annotation, "id": number}
        for number, annotation in enumerate(truth.dataset.get("annotations", ()), start=1)
    ]
    dataset = {**truth.dataset, "annotations": annotations}
    with mock.patch.object(lvis_class, "_load_json", return_value=dataset):
        return lvis_class(truth.source)


def lvis_evaluation(
    truth: Any,
    predictions: list[dict[str, Any]],
    task: str,
    image_ids: Sequence[Any],
    max_detections: int = MAX_LVIS_DETECTIONS,
) -> Any:
    """Evaluate and accumulate with LVIS's rules; return the ``lvis.LVISEval``.

    Args:
        truth: a ``lvis.LVIS``.
        predictions: at least one, with the shape of the task alone; changed.
        task: "bbox", "segm" or "boundary" (Boundary AP).
        image_ids: the images that count.
        max_detections: of each image, as many predictions count, those with the highest scores.
    """
    with imported_lvis() as lvis:
        found = lvis.LVISResults(truth, predictions, max_dets=max_detections)
        evaluation = lvis.LVISEval(truth, found, "bbox" if task == "bbox" else "segm")
        if task == "boundary":
            evaluation.compute_iou = partial(_boundary_ious, evaluation)
        evaluation.params.img_ids = sorted(image_ids)
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def _boundary_ious(evaluation: Any, image_id: Any, class_id: int) -> np.ndarray | list[float]:
    """Compute the IoU of Boundary AP where a ``lvis.LVISEval`` of masks computes mask IoU."""
    ious = type(evaluation).compute_iou(evaluation, image_id, class_id)
    if len(ious) == 0:
        return ious
    truths, predictions = evaluation._get_gt_dt(image_id, class_id)
    predictions = sorted(predictions, key=lambda prediction: -prediction["score"])
    image = evaluation.lvis_gt.imgs[image_id]
    limit_by_boundary(
        ious,
        lambda row: predictions[row]["segmentation"],
        lambda column: truths[column]["segmentation"],
        (image["height"], image["width"]),
        lowest=evaluation.params.iou_thrs.min(),
        is_crowd=np.zeros(len(truths), dtype=bool),  # LVIS has none
    )
    return ious


def lvis_matches(
    evaluation: Any, positions: Mapping[Any, int], class_names: Sequence[str]
) -> MatchTable:
    """Collect the matches of an ``lvis.LVISEval``; the AP from them is that of the evaluation.

    ``positions`` are those of the images in the ground truth, by image id.
    """
    parameters = evaluation.params
    thresholds, num_areas = np.asarray(parameters.iou_thrs), len(parameters.area_rng)
    shape = (len(parameters.cat_ids), num_areas, len(parameters.img_ids))
    of_images = np.array(evaluation.eval_imgs, dtype=object).reshape(shape)
    classes = []
    for by_area in of_images:
        records = [
            _image_record(positions[image_id], list(by_area[:, i]))
            for i, image_id in enumerate(parameters.img_ids)
            if by_area[0, i] is not None
        ]
        classes.append(ClassMatches.joined(records, len(thresholds), num_areas))
    return MatchTable(tuple(classes), tuple(class_names), thresholds)


def _image_record(position: int, by_area: Sequence[dict[str, Any]]) -> ClassMatches:
    scores = np.array(by_area[0]["dt_scores"], dtype=np.float64)
    is_matched = np.stack([record["dt_matches"] > 0 for record in by_area], axis=1)  # (T, A, D)
    is_counted = np.stack([record["dt_ignore"] == 0 for record in by_area], axis=1)
    # Each range of areas has its own order of the true objects; only how many count matters.
    counts = np.stack([np.asarray(record["gt_ignore"]) == 0 for record in by_area])
    return ClassMatches(
        np.full(len(scores), position),
        scores,
        is_matched & is_counted,
        ~is_matched & is_counted,
        np.full(counts.shape[1], position),
        counts,
    )
