"""Mask heads that are trained at annotated points: which points count, and what the losses are."""

import pytest
import torch
from detectron2.modeling.roi_heads.mask_head import build_mask_head
from detectron2.structures import Boxes, Instances

from pointrend_ext.layers import point_sample, px_to_box, select_class
from pointrend_ext.modeling.point_head.predictors import training_predictor
from pointrend_ext.modeling.roi_heads.mask_labels import annotated_points
from tests.modeling.builders import randomize
from tests.modeling.conftest import BOXES, CLASSES

IMPLICIT = {
    "ROI_MASK_HEAD__NAME": "ImplicitPointRendROIMaskHead",
    "MASK_POINT_HEAD__NAME": "ImplicitPointHead",
    "MASK_POINT_HEAD__SUBDIVISION_NUM_POINTS": 9,
}
HEADS = {"PointRend": {}, "Implicit PointRend": IMPLICIT}


def proposals_of(boxes, coords, labels, classes=None):
    """One image of 32 x 40 pixels."""
    x = Instances((32, 40), proposal_boxes=Boxes(torch.tensor(boxes, dtype=torch.float32)))
    x.gt_classes = torch.tensor(classes or [0] * len(boxes))
    x.gt_point_coords = torch.tensor(coords, dtype=torch.float32)
    x.gt_point_labels = torch.tensor(labels, dtype=torch.float32)
    return x


def found(*proposals):
    boxes = torch.cat([x.proposal_boxes.tensor for x in proposals])
    return annotated_points(proposals, boxes)


def test_points_of_each_image_in_the_frame_of_the_boxes():
    """Images with 2 points, with none, without proposals, and with 1 point."""
    first = proposals_of([[4, 2, 14, 22]], [[[9, 2], [14, 12]]], [[1, 0]])
    without = proposals_of([[0, 0, 10, 10]], [[]], [[]])
    without.gt_point_coords = without.gt_point_coords.view(1, 0, 2)
    empty = Instances((32, 40), proposal_boxes=Boxes(torch.zeros(0, 4)))
    last = proposals_of([[10, 10, 30, 20]], [[[15, 15]]], [[1]])
    coords, labels = found(first, without, empty, last)
    assert labels.tolist() == [[1, 0], [-1, -1], [1, -1]]
    assert coords[0].tolist() == [[0.5, 0], [1, 0.5]]
    assert coords[2, 0].tolist() == [0.25, 0.5]
    assert coords.isfinite().all()


def test_points_outside_the_predicted_box_are_ignored():
    coords, labels = found(
        proposals_of(
            [[4, 2, 14, 22], [20, 20, 20, 20]],
            [[[3.9, 5], [9, 22.1], [9, 12]], [[20, 20], [20, 25], [0, 0]]],
            [[1, 1, 1], [1, 0, 0]],
        )
    )
    assert labels.tolist() == [[-1, -1, 1], [-1, -1, -1]]  # a box without extent has no points
    assert coords.isfinite().all()
    assert ((coords >= 0) & (coords <= 1)).all()


def test_no_proposals_have_a_column_of_points():
    coords, labels = found(Instances((32, 40), proposal_boxes=Boxes(torch.zeros(0, 4))))
    assert coords.shape == (0, 1, 2)
    assert labels.shape == (0, 1)


def annotated(seed=0):
    """Proposals of the tiny boxes with 5 points each, some of which are outside or not known."""
    generator = torch.Generator().manual_seed(seed)
    proposals = []
    for boxes, classes in zip(BOXES, CLASSES, strict=True):
        corners = torch.tensor(boxes)
        size = (len(boxes), 5)
        shares = torch.rand(*size, 2, generator=generator) * 1.2 - 0.1
        coords = corners[:, None, :2] + shares * (corners[:, None, 2:] - corners[:, None, :2])
        labels = torch.randint(-1, 2, size, generator=generator)
        proposals.append(proposals_of(boxes, coords.tolist(), labels.tolist(), classes))
    return proposals


@pytest.mark.parametrize("name", HEADS)
def test_losses_by_hand(tiny, event_storage, name):
    cfg = tiny.cfg(**HEADS[name])
    cfg.INPUT.POINT_SUP = True
    head = randomize(build_mask_head(cfg, tiny.shapes), 0.2).double().train()
    features, proposals = tiny.features(dtype=torch.float64), annotated()
    torch.manual_seed(0)
    before = torch.get_rng_state()
    losses = head(features, proposals)
    assert torch.equal(torch.get_rng_state(), before)  # nothing is drawn

    boxes = [x.proposal_boxes.tensor for x in proposals]
    reader, levels, side = head._region_reader
    classes = torch.tensor([c for image in CLASSES for c in image])
    predicted = reader.predict_boxes(features, levels, side, boxes)
    inputs = head.region_inputs(features, boxes, predicted, classes)
    coords_px = torch.cat([x.gt_point_coords for x in proposals])
    labels = torch.cat([x.gt_point_labels for x in proposals])
    coords = px_to_box(coords_px, torch.cat(boxes))
    keep = (labels >= 0) & ((coords >= 0) & (coords <= 1)).all(-1)
    assert 0 < keep.sum() < keep.numel()

    def cross_entropy(logits):
        p, y = logits[keep].sigmoid(), labels[keep]
        return -(y * p.log() + (1 - y) * (1 - p).log()).mean().item()

    safe = coords.nan_to_num(0.5, 0.5, 0.5)
    at_points = training_predictor(head.point_head, inputs)(safe)[:, 0]
    assert losses["loss_mask_point"].item() == pytest.approx(cross_entropy(at_points), rel=1e-9)
    if name == "PointRend":
        coarse = point_sample(select_class(predicted, classes), safe)[:, 0]
        assert losses["loss_mask"].item() == pytest.approx(cross_entropy(coarse), rel=1e-9)
    sum(losses.values()).backward()
    assert all(p.grad.isfinite().all() and p.grad.abs().sum() > 0 for p in head.parameters())


@pytest.mark.parametrize("name", HEADS)
def test_no_point_at_all_trains_nothing(tiny, event_storage, name):
    cfg = tiny.cfg(**HEADS[name])
    cfg.INPUT.POINT_SUP = True
    head = randomize(build_mask_head(cfg, tiny.shapes), 0.2).train()
    unknown = annotated()
    for x in unknown:
        x.gt_point_labels.fill_(-1)
    nobody = [Instances((32, 40), proposal_boxes=Boxes(torch.zeros(0, 4))) for _ in BOXES]
    for x in nobody:
        x.gt_classes = torch.zeros(0, dtype=torch.int64)
    for proposals in (unknown, nobody):
        head.zero_grad()
        losses = head(tiny.features(), proposals)
        assert losses["loss_mask_point"].item() == 0
        losses["loss_mask_point"].backward()
        gradients = [p.grad for p in head.parameters() if p.grad is not None]
        assert len(gradients) == len(list(head.parameters()))
        assert all(torch.equal(x, torch.zeros_like(x)) for x in gradients)
