"""The matches that the lvis package makes, one record per prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pointrend_ext.evaluation.coco_matches import join_images
from pointrend_ext.evaluation.matches import ClassMatches, MatchTable

__all__ = ["lvis_matches"]


def lvis_matches(
    evaluation: Any, positions: Mapping[Any, int], class_names: Sequence[str]
) -> MatchTable:
    """Collect the matches of an evaluation.

    Args:
        evaluation: an ``lvis.LVISEval`` that was evaluated.
        positions: position of every image in the ground truth, by image id.
        class_names: of the classes of the evaluation, in their order.

    Returns:
        Matches; the AP from them is that of the evaluation.
    """
    parameters = evaluation.params
    num_areas, num_images = len(parameters.area_rng), len(parameters.img_ids)
    num_thresholds = len(parameters.iou_thrs)
    classes = []
    for k in range(len(parameters.cat_ids)):
        block = evaluation.eval_imgs[k * num_areas * num_images : (k + 1) * num_areas * num_images]
        records = [_empty(num_thresholds, num_areas)]
        for image in range(num_images):
            by_area = block[image::num_images]
            if by_area[0] is not None:
                position = positions[parameters.img_ids[image]]
                records.append(_image_record(position, by_area))
        classes.append(join_images(records))
    return MatchTable(tuple(classes), tuple(class_names), np.asarray(parameters.iou_thrs))


def _image_record(position: int, by_area: list[dict[str, Any]]) -> ClassMatches:
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


def _empty(num_thresholds: int, num_areas: int) -> ClassMatches:
    none = np.zeros((num_thresholds, num_areas, 0), dtype=bool)
    whole = np.zeros(0, dtype=np.int64)
    return ClassMatches(whole, np.zeros(0), none, none, whole, none[0])
