"""Whole, very small models with the mask head in them: R-CNN and panoptic."""

import math

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.structures import BitMasks

from pointrend_ext.structures import CroppedMasks
from tests.modeling.builders import LEVELS, RCNN, backward, model_cfg, picture


def build(**changes):
    return build_model(model_cfg(RCNN, ROI_BOX_HEAD__TRAIN_ON_PRED_BOXES=True, **changes))


CASCADE = {"ROI_HEADS__NAME": "CascadeROIHeads", "ROI_BOX_HEAD__CLS_AGNOSTIC_BBOX_REG": True}
MASK_RCNN = {
    "ROI_MASK_HEAD__NAME": "MaskRCNNConvUpsampleHead",
    "ROI_MASK_HEAD__POOLER_TYPE": "ROIAlignV2",
    "ROI_MASK_HEAD__NUM_CONV": 1,
}
ONE_BOX = [(10, 12, 50, 60)]


@pytest.mark.parametrize("heads", ["StandardROIHeads", "CascadeROIHeads"])
@pytest.mark.parametrize(
    "batch",
    [{(64, 96): [], (80, 64): []}, {(64, 96): ONE_BOX, (90, 70): [], (96, 64): ONE_BOX * 2}],
    ids=["no instances", "one image without"],
)
def test_training(event_storage, heads, batch):
    model = build(**(CASCADE if heads == "CascadeROIHeads" else {}))
    losses = backward(model, [picture(size_hw, boxes) for size_hw, boxes in batch.items()])
    has_instances = any(batch.values())
    for name in ("loss_mask", "loss_mask_point"):
        assert losses[name] > 0.1 if has_instances else losses[name] == 0
    for name, parameter in model.roi_heads.mask_head.named_parameters():
        if not (has_instances and name.endswith("fc1.bias")):  # a dead unit may hide that one
            assert parameter.grad.any() == has_instances, name


HEADS = {"PointRend": {}, "Mask R-CNN": MASK_RCNN, "Cascade": CASCADE}


@pytest.mark.parametrize("heads", HEADS)
def test_a_step_with_cropped_masks_is_the_same_bits(event_storage, heads):
    """Through the matching of proposals: losses, and gradients of every parameter."""
    model = build(**HEADS[heads])
    generator = torch.Generator().manual_seed(5)
    batch = [
        picture((64, 96), [(10, 12, 50, 60), (40, 5, 90, 30), (0, 0, 96, 64)]),
        picture((90, 70), [(5, 40, 60, 90)]),
    ]
    for example in batch:
        masks = example["instances"].gt_masks.tensor
        masks &= torch.rand(masks.shape, generator=generator) > 0.2
    results = []
    for kind in (BitMasks, CroppedMasks):
        model.zero_grad()
        for example in batch:
            example["instances"].gt_masks = kind(example["instances"].gt_masks.tensor)
        torch.manual_seed(3)
        losses = backward(model, batch)
        gradients = {
            name: x.grad.clone() for name, x in model.named_parameters() if x.grad is not None
        }
        results.append({**losses, **gradients})
    assert results[0].keys() == results[1].keys()
    assert [
        name for name in results[0] if not torch.equal(results[0][name], results[1][name])
    ] == []
    assert results[0]["loss_mask"] > 0.1


def infer(model, *sizes_hw):
    """Instances of random pictures, wanted in twice their size."""
    inputs = [{**picture((h, w)), "height": 2 * h, "width": 2 * w} for h, w in sizes_hw]
    with torch.no_grad():
        return [x["instances"] for x in model.eval()(inputs)], inputs


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"ROI_HEADS__NUM_CLASSES": 1},
        {"ROI_HEADS__SCORE_THRESH_TEST": 1.0},  # no detection
        {"ROI_MASK_HEAD__CLS_AGNOSTIC_MASK": True},
        {
            "ROI_MASK_HEAD__IN_FEATURES": ["p2", "p3"],
            "MASK_POINT_HEAD__IN_FEATURES": ["p2", "p4"],
        },
    ],
)
def test_inference_gives_masks_in_the_size_asked_for(changes):
    number = 0 if "ROI_HEADS__SCORE_THRESH_TEST" in changes else 5
    outputs, _ = infer(build(**changes), (64, 96), (90, 70))
    for output, size in zip(outputs, ((128, 192), (180, 140)), strict=True):
        assert output.pred_masks.shape == (number, *size)
        assert output.pred_masks.dtype == torch.bool


def test_a_batch_gives_what_single_images_give():
    model = build()
    together, inputs = infer(model, (64, 96), (64, 96))
    with torch.no_grad():
        alone = [model([x])[0]["instances"] for x in inputs]
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a.pred_boxes.tensor, b.pred_boxes.tensor, rtol=1e-4, atol=1e-3)
        assert (a.pred_masks != b.pred_masks).float().mean() < 1e-3


def test_masks_of_a_cascade_lie_in_the_boxes_of_its_last_stage():
    model = build(**CASCADE).eval()
    given = []
    model.roi_heads.mask_head.register_forward_pre_hook(
        lambda _head, inputs: given.extend(x.pred_boxes.tensor.clone() for x in inputs[1])
    )
    stages = []
    for predictor in model.roi_heads.box_predictor:
        predictor.register_forward_hook(lambda _p, _i, output: stages.append(output))
    last = model.roi_heads.box_predictor[2]
    proposals = []
    original = last.predict_boxes
    last.predict_boxes = lambda predictions, x: (
        proposals.append(x) or original(predictions, x)  # what the last stage starts from
    )
    with torch.no_grad():
        (found,) = model.inference([picture((64, 96))], do_postprocess=False)
        expected = last.box2box_transform.apply_deltas(
            stages[2][1], proposals[-1][0].proposal_boxes.tensor
        )
    assert len(stages) == 3
    (boxes,) = given
    assert torch.equal(boxes, found.pred_boxes.tensor)
    limits = torch.tensor([96.0, 64, 96, 64])
    inside = torch.minimum(expected.clamp(min=0), limits)
    nearest = torch.cdist(boxes, inside).min(dim=1).values
    assert len(boxes) == 5
    assert nearest.max() < 1e-4  # every mask's box is one that the last stage has made
    first = proposals[-1][0].proposal_boxes.tensor
    assert torch.cdist(boxes, first).min(dim=1).values.max() > 0  # and none of an earlier one


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


# ---- a panoptic model with both point heads: 80 things, 54 stuff classes

PANOPTIC = {
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
def panoptic():
    return build_model(model_cfg(PANOPTIC))


def stuff_picture(size_hw):
    stuff = torch.randint(54, size_hw)
    stuff[:5] = 255
    return {**picture(size_hw, [(10, 12, 50, 60)], first_class=79), "sem_seg": stuff}


def test_panoptic_training(panoptic, event_storage):
    torch.nn.init.zeros_(panoptic.sem_seg_head.point_head.predictor.weight)
    losses = backward(panoptic, [stuff_picture((64, 96)), stuff_picture((90, 70))])
    assert panoptic.roi_heads.mask_head.point_head.predictor.out_channels == 80
    assert {"loss_mask", "loss_mask_point", "loss_sem_seg", "loss_sem_seg_point"} < losses.keys()
    # 54 classes are equally likely at each point, LOSS_WEIGHT is 0.5
    assert losses["loss_sem_seg_point"].item() == pytest.approx(0.5 * math.log(54), rel=1e-6)
    for head in (panoptic.roi_heads.mask_head, panoptic.sem_seg_head):
        assert head.point_head.predictor.weight.grad.any()


def test_panoptic_inference(panoptic):
    inputs = [{**picture((64, 96)), "height": 128, "width": 192}]
    with torch.no_grad():
        [output] = panoptic.eval()(inputs)
    assert output["sem_seg"].shape == (54, 128, 192)
    assert output["sem_seg"].isfinite().all()
    assert output["instances"].pred_masks.shape == (5, 128, 192)
    segments, infos = output["panoptic_seg"]
    assert segments.shape == (128, 192)
    assert {info["id"] for info in infos} == set(segments.unique().tolist()) - {0}
