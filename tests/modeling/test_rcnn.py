"""A whole, very small R-CNN with the mask head in it."""

from __future__ import annotations

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Boxes, Instances

from tests.modeling.builders import RCNN, model_cfg


def build(**changes):
    return build_model(model_cfg(RCNN, ROI_BOX_HEAD__TRAIN_ON_PRED_BOXES=True, **changes))


def image(size_hw, boxes=(), with_instances=True):
    example = {"image": torch.randint(0, 256, (3, *size_hw), dtype=torch.uint8)}
    example["height"], example["width"] = 2 * size_hw[0], 2 * size_hw[1]
    if with_instances:
        instances = Instances(size_hw)
        instances.gt_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
        instances.gt_classes = torch.arange(len(boxes)) % 3
        if boxes:
            masks = torch.zeros(len(boxes), *size_hw, dtype=torch.bool)
            for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
                mask[y0:y1, x0:x1] = True
            instances.gt_masks = BitMasks(masks)
        example["instances"] = instances
    return example


ONE_BOX = ((10, 12, 50, 60),)
HEADS = ["StandardROIHeads", "CascadeROIHeads"]


def step(model, batch, event_storage):
    losses = model.train()(batch)
    assert all(loss.isfinite() for loss in losses.values()), losses
    sum(losses.values()).backward()
    without = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []  # a parameter without gradient stops DistributedDataParallel
    return losses


@pytest.mark.parametrize("heads", HEADS)
def test_two_images_without_instances_train_every_parameter(event_storage, heads):
    agnostic = heads == "CascadeROIHeads"
    model = build(ROI_HEADS__NAME=heads, ROI_BOX_HEAD__CLS_AGNOSTIC_BBOX_REG=agnostic)
    losses = step(model, [image((64, 96)), image((80, 64))], event_storage)
    assert losses["loss_mask"].item() == 0
    assert losses["loss_mask_point"].item() == 0
    for name, parameter in model.roi_heads.mask_head.named_parameters():
        assert not parameter.grad.any(), name


@pytest.mark.parametrize("heads", HEADS)
def test_images_of_different_sizes_one_without_instances(event_storage, heads):
    agnostic = heads == "CascadeROIHeads"
    model = build(ROI_HEADS__NAME=heads, ROI_BOX_HEAD__CLS_AGNOSTIC_BBOX_REG=agnostic)
    batch = [image((64, 96), ONE_BOX), image((90, 70)), image((96, 64), ONE_BOX * 2)]
    losses = step(model, batch, event_storage)
    assert losses["loss_mask"].item() > 0.1
    assert losses["loss_mask_point"].item() > 0.1
    for name, parameter in model.roi_heads.mask_head.named_parameters():
        if not name.endswith("fc1.bias"):  # a dead unit may hide that one
            assert parameter.grad.any(), name


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"ROI_HEADS__NUM_CLASSES": 1},
        {"ROI_MASK_HEAD__CLS_AGNOSTIC_MASK": True},
        {
            "ROI_MASK_HEAD__IN_FEATURES": ["p2", "p3"],
            "MASK_POINT_HEAD__IN_FEATURES": ["p2", "p4"],
        },
    ],
)
def test_inference_gives_masks_in_the_size_asked_for(changes):
    model = build(**changes).eval()
    with torch.no_grad():
        outputs = model([image((64, 96), with_instances=False), image((90, 70), (), False)])
    for output, size in zip(outputs, ((128, 192), (180, 140)), strict=True):
        assert len(output["instances"]) == 5
        assert output["instances"].pred_masks.shape == (5, *size)
        assert output["instances"].pred_masks.dtype == torch.bool


def test_inference_without_any_detection():
    model = build(ROI_HEADS__SCORE_THRESH_TEST=1.0).eval()
    with torch.no_grad():
        (output,) = model([image((64, 96), with_instances=False)])
    assert output["instances"].pred_masks.shape == (0, 128, 192)


def test_a_batch_gives_what_single_images_give():
    model = build().eval()
    images = [image((64, 96), with_instances=False), image((64, 96), with_instances=False)]
    with torch.no_grad():
        together = model(images)
        alone = [model([x])[0] for x in images]
    for a, b in zip(together, alone, strict=True):
        a, b = a["instances"], b["instances"]
        torch.testing.assert_close(a.pred_boxes.tensor, b.pred_boxes.tensor, rtol=1e-4, atol=1e-3)
        assert (a.pred_masks != b.pred_masks).float().mean() < 1e-3


def test_features_that_the_heads_do_not_get_are_refused_at_build():
    with pytest.raises(ValueError, match=r"MASK_POINT_HEAD\.IN_FEATURES contains 'p6'"):
        build(MASK_POINT_HEAD__IN_FEATURES=["p6"])


def test_a_c4_backbone_is_refused_at_build():
    changes = {
        "BACKBONE__NAME": "build_resnet_backbone",
        "RESNETS__OUT_FEATURES": ["res4"],
        "RPN__IN_FEATURES": ["res4"],
        "ANCHOR_GENERATOR__SIZES": [[32, 64]],
        "ROI_HEADS__IN_FEATURES": ["res4"],
    }
    with pytest.raises(ValueError, match=r"IN_FEATURES contains 'p2'.*\['res4'\]"):
        build(**changes)
    with pytest.raises(ValueError, match=r"'Res5ROIHeads'.*FPN"):
        build(**changes, ROI_HEADS__NAME="Res5ROIHeads")
