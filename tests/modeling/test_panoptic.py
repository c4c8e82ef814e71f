"""A panoptic model with both point heads: 80 things, 54 stuff classes, at tiny widths."""

from __future__ import annotations

import math

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Boxes, Instances

from pointrend_ext.modeling import PointRendROIMaskHead, PointRendSemanticHead
from tests.modeling.builders import LEVELS, RCNN, model_cfg

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


def picture(size_hw):
    instances = Instances(size_hw)
    instances.gt_boxes = Boxes(torch.tensor([[10.0, 12, 50, 60]]))
    instances.gt_classes = torch.tensor([79])
    masks = torch.zeros(1, *size_hw, dtype=torch.bool)
    masks[:, 12:60, 10:50] = True
    instances.gt_masks = BitMasks(masks)
    stuff = torch.randint(54, size_hw)
    stuff[:5] = 255
    pixels = torch.randint(0, 256, (3, *size_hw), dtype=torch.uint8)
    return {"image": pixels, "instances": instances, "sem_seg": stuff}


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
    losses = model.train()([picture((64, 96)), picture((90, 70))])
    assert {"loss_mask", "loss_mask_point", "loss_sem_seg", "loss_sem_seg_point"} < losses.keys()
    assert all(loss.isfinite() for loss in losses.values()), losses
    # 54 classes are equally likely at each point, LOSS_WEIGHT is 0.5
    assert losses["loss_sem_seg_point"].item() == pytest.approx(0.5 * math.log(54), rel=1e-6)
    sum(losses.values()).backward()
    without = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []
    for head in (model.roi_heads.mask_head, model.sem_seg_head):
        assert head.point_head.predictor.weight.grad.any()


def test_inference(model):
    inputs = [{"image": picture((64, 96))["image"], "height": 128, "width": 192}]
    with torch.no_grad():
        [output] = model.eval()(inputs)
    assert output["sem_seg"].shape == (54, 128, 192)
    assert output["sem_seg"].isfinite().all()
    assert output["instances"].pred_masks.shape == (5, 128, 192)
    segments, infos = output["panoptic_seg"]
    assert segments.shape == (128, 192)
    assert {info["id"] for info in infos} == set(segments.unique().tolist()) - {0}
