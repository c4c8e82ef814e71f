"""Instances and a label map to a panoptic segmentation, as Detectron2 does; no torch is needed."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pointrend_ext.inference.prediction import Panoptic, Prediction


@dataclass(frozen=True)
class PanopticRules:
    """``MODEL.PANOPTIC_FPN.COMBINE``.

    Attributes:
        overlap: an instance goes if a larger share of it lies under better ones.
        stuff_area: least number of pixels of a stuff segment.
        score: least score of an instance.
    """

    overlap: float
    stuff_area: float
    score: float


def with_segments(prediction: Prediction, rules: PanopticRules) -> Prediction:
    """Add the panoptic segmentation: better instances first, then stuff where nothing is yet.

    Segments, their order and their numbers are those of Detectron2's
    ``combine_semantic_and_instance_outputs``, whose class 0 of label maps stands for all things;
    but masks are pasted one at a time, in their boxes alone.
    """
    assert prediction.label_map is not None
    ids = np.zeros(prediction.size_hw, dtype=np.int32)
    segments = list(_things(prediction, rules, ids))
    segments += _stuff(prediction.label_map, rules, ids, len(segments) + 1)
    return replace(prediction, panoptic=Panoptic(ids, segments))


def _things(
    prediction: Prediction, rules: PanopticRules, ids: np.ndarray
) -> Iterator[dict[str, Any]]:
    """Write instances into ``ids``."""
    objects, number = prediction.objects, 0
    pairs = zip(objects.scores.tolist(), objects.classes.tolist(), strict=True)
    for instance, (score, label) in enumerate(pairs):
        if score < rules.score:
            return
        mask, top, left = objects.masks.crop(instance)
        there = ids[top : top + mask.shape[0], left : left + mask.shape[1]]
        area, free = np.count_nonzero(mask), mask & (there == 0)
        hidden = area - np.count_nonzero(free)
        if not area or hidden / area > rules.overlap:
            continue
        number += 1
        there[free] = number
        yield {
            "id": number,
            "isthing": True,
            "score": score,
            "category_id": label,
            "instance_id": instance,
        }


def _stuff(
    label_map: np.ndarray, rules: PanopticRules, ids: np.ndarray, number: int
) -> Iterator[dict[str, Any]]:
    """Write the labels of free pixels into ``ids``, numbered from ``number``."""
    is_free = ids == 0
    counts = np.bincount(label_map.ravel())
    areas = np.bincount(label_map[is_free], minlength=len(counts))
    for label in np.flatnonzero(counts[1:]) + 1:
        area = int(areas[label])
        if area < rules.stuff_area:
            continue
        ids[is_free & (label_map == label)] = number
        yield {"id": number, "isthing": False, "category_id": int(label), "area": area}
        number += 1
