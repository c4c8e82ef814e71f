"""A panoptic model with both point heads: 80 things, 54 stuff classes, at tiny widths."""

from __future__ import annotations

import math

import pytest
import torch
from detectron2.modeling import build_model

from pointrend_ext.modeling import PointRendROIMaskHead, PointRendSemanticHead
from tests.modeling.builders import LEVELS, RCNN, backward, model_cfg, picture

TINY = {
    **RCNN,
    "META_ARCHITECTURE": "PanopticFPN",
    "ROI_HEADS.NUM_CLASSES": 80,
    "SEM_SEG_HEAD.NAME": "PointRendSemanticHead",
    "SEM_SEG_HEAD.IN_FEATURES": LEVELS,
    "SEM_SEG_HEAD.NUM_CLASSES": 54,
    "SEM_SEG_HEAD.CONVS_DIM": 8,
    "SEM_SEG_HEAD.NORM": "",
    "SEM_SEG_HEAD.LOSS_WEIGHT": 0.5,
    "SEM_SEG_POINT_HEAD.FC_DIM": 12,
    "SEM_SEG_POINT_HEAD.TRAIN_NUM_POINTS": 64,
    "SEM_SEG_POINT_HEAD.SUBDIVISION_NUM_POINTS": 200,
    "PANOPTIC_FPN.COMBINE.INSTANCES_CONFIDENCE_THRESH": 0.0,
}


@pytest.fixture
def model():
    return build_model(model_cfg(TINY))


def stuff_picture(size_hw):
    stuff = torch.randint(54, size_hw)
    stuff[:5] = 255
    return {**picture(size_hw, [(10, 12, 50, 60)], first_class=79), "sem_seg": stuff}


def test_each_head_has_its_own_number_of_classes(model):
    mask_head, semantic_head = model.roi_heads.mask_head, model.sem_seg_head
    assert isinstance(mask_head, PointRendROIMaskHead)
    assert isinstance(semantic_head, PointRendSemanticHead)
    assert mask_head.point_head.predictor.out_channels == 80
    assert semantic_head.point_head.predictor.out_channels == 54
    assert mask_head.point_head.fc1.out_channels == 8
    assert semantic_head.point_head.fc1.out_channels == 12


def test_one_training_step(model, event_storage):
    torch.nn.init.zeros_(model.sem_seg_head.point_head.predictor.weight)
    losses = backward(model, [stuff_picture((64, 96)), stuff_picture((90, 70))])
    assert {"loss_mask", "loss_mask_point", "loss_sem_seg", "loss_sem_seg_point"} < losses.keys()
    # 54 classes are equally likely at each point, LOSS_WEIGHT is 0.5
    assert losses["loss_sem_seg_point"].item() == pytest.approx(0.5 * math.log(54), rel=1e-6)
    for head in (model.roi_heads.mask_head, model.sem_seg_head):
        assert head.point_head.predictor.weight.grad.any()


def test_inference(model):
    inputs = [{**picture((64, 96)), "height": 128, "width": 192}]
    with torch.no_grad():
        [output] = model.eval()(inputs)
    assert output["sem_seg"].shape == (54, 128, 192)
    assert output["sem_seg"].isfinite().all()
    assert output["instances"].pred_masks.shape == (5, 128, 192)
    segments, infos = output["panoptic_seg"]
    assert segments.shape == (128, 192)
    assert {info["id"] for info in infos} == set(segments.unique().tolist()) - {0}
