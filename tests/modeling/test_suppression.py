"""Non-maximum suppression over all classes, by value."""

import copy

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.roi_heads.fast_rcnn import FastRCNNOutputLayers
from detectron2.structures import Boxes, Instances
from torchvision.ops import box_iou

from pointrend_ext.modeling.roi_heads.suppression import (
    ClassAgnosticOutputLayers,
    choose_suppression,
)
from pointrend_ext.modeling.unread_keys import build_checked_model
from tests.modeling.builders import RCNN, model_cfg, picture


def predictor(threshold=0.5, score=0.05, topk=100, agnostic_boxes=True):
    layers = FastRCNNOutputLayers(
        ShapeSpec(channels=4),
        box2box_transform=Box2BoxTransform(weights=(1, 1, 1, 1)),
        num_classes=3,
        test_score_thresh=score,
        test_nms_thresh=threshold,
        test_topk_per_image=topk,
        cls_agnostic_bbox_reg=agnostic_boxes,
    )
    layers.__class__ = ClassAgnosticOutputLayers
    return layers


@pytest.fixture
def infer(monkeypatch):
    def run(layers, boxes, scores, size_hw=(100, 100)):
        monkeypatch.setattr(FastRCNNOutputLayers, "predict_boxes", lambda *_: boxes)
        monkeypatch.setattr(FastRCNNOutputLayers, "predict_probs", lambda *_: scores)
        proposals = [Instances(size_hw) for _ in boxes]
        return layers.inference((None, None), proposals)

    return run


def test_by_hand(infer):
    """Three boxes, two of which are the same object of two classes; background is last."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 120, 60]])
    scores = torch.tensor([[0.5, 0.4, 0.0, 0.1], [0.1, 0.8, 0.04, 0.0], [0.3, 0.2, 0.3, 0.2]])
    (found,), (rows,) = infer(predictor(), [boxes], [scores])
    assert rows.tolist() == [1, 2]
    assert found.pred_classes.tolist()[0] == 1
    assert found.scores.tolist() == pytest.approx([0.8, 0.3])
    assert found.pred_boxes.tensor.tolist() == [[0, 0, 10, 9], [50, 50, 100, 60]]  # clipped
    (few,), _ = infer(predictor(topk=1), [boxes], [scores])
    assert few.scores.tolist() == pytest.approx([0.8])
    (none,), (no_rows,) = infer(predictor(score=0.9), [boxes], [scores])
    assert len(none) == len(no_rows) == 0
    assert infer(predictor(), [torch.zeros(0, 4)], [torch.zeros(0, 4)])[0][0].scores.shape == (0,)


def greedy(candidates, threshold):
    """A slow oracle: (score, class, row, box), best first, each against all kept ones."""
    kept = []
    for candidate in sorted(candidates, key=lambda c: -c[0]):
        box = torch.tensor([candidate[3]])
        if all(box_iou(box, torch.tensor([k[3]])).item() <= threshold for k in kept):
            kept.append(candidate)
    return kept


@pytest.mark.parametrize("agnostic_boxes", [True, False])
@pytest.mark.parametrize("threshold", [0.3, 0.7])
def test_against_an_oracle(infer, rng, threshold, agnostic_boxes):
    """Two images; not the same as suppressing what each class has kept."""
    all_boxes, all_scores, expected = [], [], []
    for number in (40, 25):
        corner = 60 * torch.rand(number, 1 if agnostic_boxes else 3, 2, generator=rng)
        boxes = torch.cat([corner, corner + 5 + 30 * torch.rand(corner.shape, generator=rng)], -1)
        scores = torch.rand(number, 4, generator=rng)
        all_boxes.append(boxes.flatten(1))
        all_scores.append(scores)
        candidates = [
            (scores[r, c].item(), c, r, boxes[r, 0 if agnostic_boxes else c].tolist())
            for r in range(number)
            for c in range(3)
            if scores[r, c] > 0.05
        ]
        expected.append(greedy(candidates, threshold))
    layers = predictor(threshold, topk=-1, agnostic_boxes=agnostic_boxes)
    found, rows = infer(layers, all_boxes, all_scores)
    for kept, instances, row in zip(expected, found, rows, strict=True):
        assert instances.scores.tolist() == pytest.approx([k[0] for k in kept])
        assert instances.pred_classes.tolist() == [k[1] for k in kept]
        assert row.tolist() == [k[2] for k in kept]
        torch.testing.assert_close(
            instances.pred_boxes.tensor, Boxes(torch.tensor([k[3] for k in kept])).tensor
        )


def test_the_key_in_a_model():
    """The same weights; each object is found once, and the default is Detectron2's."""
    cfg = model_cfg(RCNN, ROI_HEADS__NMS_THRESH_TEST=0.4)
    assert cfg.MODEL.ROI_HEADS.NMS_CLASS_AGNOSTIC is False
    cfg.TEST.DETECTIONS_PER_IMAGE = 100
    torch.manual_seed(0)
    plain = build_checked_model(cfg)
    assert type(plain.roi_heads.box_predictor) is FastRCNNOutputLayers
    cfg.MODEL.ROI_HEADS.NMS_CLASS_AGNOSTIC = True
    agnostic = build_checked_model(cfg)
    torch.nn.init.normal_(plain.roi_heads.box_predictor.cls_score.weight, std=0.001)
    agnostic.load_state_dict(plain.state_dict())
    found = {}
    for name, model in (("plain", plain), ("agnostic", copy.deepcopy(agnostic))):
        with torch.no_grad():
            (output,) = model.eval()([picture((64, 96))])
        boxes = output["instances"].pred_boxes.tensor
        overlap = box_iou(boxes, boxes).fill_diagonal_(0).max().item()
        found[name] = (len(boxes), overlap)
    assert found["plain"][1] > 0.5
    assert found["agnostic"][1] <= 0.41  # boxes of the image's scale, rounded
    assert 0 < found["agnostic"][0] < found["plain"][0]


def test_a_cascade_is_refused():
    cfg = model_cfg(
        RCNN,
        ROI_HEADS__NAME="CascadeROIHeads",
        ROI_BOX_HEAD__CLS_AGNOSTIC_BBOX_REG=True,
        ROI_HEADS__NMS_CLASS_AGNOSTIC=True,
    )
    message = r"ROI_HEADS\.NMS_CLASS_AGNOSTIC is True, but no part.*StandardROIHeads"
    with pytest.raises(ValueError, match=message):
        build_checked_model(cfg)
    choose_suppression(cfg, build_model(cfg))  # changes nothing
