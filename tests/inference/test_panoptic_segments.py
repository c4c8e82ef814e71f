"""Segments against Detectron2's function, on drawn instances and label maps, and by hand."""

import numpy as np
import pytest
import torch
from detectron2.modeling.meta_arch.panoptic_fpn import combine_semantic_and_instance_outputs
from detectron2.structures import Instances

from pointrend_ext.inference.panoptic_segments import PanopticRules, with_segments
from pointrend_ext.inference.pasted_masks import PastedMasks
from pointrend_ext.inference.prediction import Prediction
from pointrend_ext.structures.classes import Classes


def prediction_of(label_map, scores, classes, boxes, shares):
    size_hw = label_map.shape
    return Prediction(
        np.zeros((*size_hw, 3), np.uint8),
        "",
        Classes(),
        boxes=np.asarray(boxes, np.float32).reshape(-1, 4),
        scores=np.asarray(scores, np.float32),
        classes=np.asarray(classes, np.int64),
        masks=PastedMasks(shares, np.asarray(boxes).reshape(-1, 4), size_hw),
        label_map=label_map,
    )


def drawn(seed, number):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(20, 70, 2)
    corners = rng.random((number, 2, 2)) * (width, height)
    return prediction_of(
        rng.integers(0, 5, (height // 5 + 1, width // 5 + 1)).repeat(5, 0).repeat(5, 1)
        .astype(np.uint8)[:height, :width],
        -np.sort(-rng.random(number)),
        rng.integers(0, 3, number),
        np.concatenate((corners.min(axis=1), corners.max(axis=1)), axis=1),
        rng.random((number, 7, 7)),
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("rules", [(0.5, 60, 0.3), (0.1, 0, 0.0), (0.9, 400, 0.99)])
def test_segments_are_detectron2s(seed, rules):
    prediction = drawn(seed, number=[0, 1, 12][seed % 3])
    found = with_segments(prediction, PanopticRules(*rules)).panoptic
    instances = Instances(
        prediction.size_hw,
        scores=torch.from_numpy(prediction.scores),
        pred_classes=torch.from_numpy(prediction.classes),
        pred_masks=torch.from_numpy(np.asarray(prediction.masks)),
    )
    labels = torch.from_numpy(prediction.label_map.astype(np.int64))
    ids, segments = combine_semantic_and_instance_outputs(instances, labels, *rules)
    np.testing.assert_array_equal(found.ids, ids.numpy())
    assert found.segments == segments
    assert found.ids.dtype == np.int32


def test_by_hand():
    label_map = np.full((10, 10), 2, np.uint8)
    label_map[:, :4] = 1
    label_map[0] = 0  # things
    boxes = [[0, 2, 10, 6], [0, 4, 10, 8], [0, 2, 10, 5], [0, 9, 10, 10]]
    scores, shares = [0.9, 0.8, 0.7, 0.4], np.ones((4, 8, 8))
    prediction = prediction_of(label_map, scores, [7, 8, 9, 7], boxes, shares)
    found = with_segments(prediction, PanopticRules(overlap=0.5, stuff_area=20, score=0.5)).panoptic
    # The second lies half under the first, the third wholly; the fourth is not sure enough.
    expected = np.repeat([0, 0, 1, 1, 1, 1, 2, 2, 0, 0], 10).reshape(10, 10)
    free = expected == 0
    assert (free & (label_map == 1)).sum() == 12  # fewer than 20 pixels, and so is the other's 18
    np.testing.assert_array_equal(found.ids, expected)
    assert [s["instance_id"] for s in found.segments] == [0, 1]
    more = with_segments(prediction, PanopticRules(overlap=0.5, stuff_area=18, score=0.5)).panoptic
    assert more.segments[2:] == [{"id": 3, "isthing": False, "category_id": 2, "area": 18}]
    np.testing.assert_array_equal(more.ids, np.where(free & (label_map == 2), 3, expected))
