"""Models that mask given boxes: the law of the draw, names of parameters, losses, refusals."""

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Boxes, Instances, pairwise_iou

from pointrend_ext.modeling.proposal_generator import GivenBoxes, jittered
from pointrend_ext.modeling.unread_keys import build_checked_model
from tests.modeling.builders import RCNN, backward, model_cfg, picture
from tests.modeling.test_rcnn import MASK_RCNN

BOX_TO_MASK = {"PROPOSAL_GENERATOR__NAME": "GivenBoxes", "ROI_HEADS__NAME": "MaskOnlyROIHeads"}
UNUSED = ["backbone.fpn_output[345]"]  # PointRend's head reads p2 alone
HEADS = {
    "PointRend": {"FREEZE": UNUSED},
    "Mask R-CNN": MASK_RCNN,
    "Mask R-CNN 56": {**MASK_RCNN, "ROI_MASK_HEAD__POOLER_RESOLUTION": 28},
}
SIDES = {"PointRend": 224, "Mask R-CNN": 28, "Mask R-CNN 56": 56}


def build(**changes):
    torch.manual_seed(0)
    return build_checked_model(model_cfg(RCNN, **BOX_TO_MASK, **changes))


def objects(boxes, size_hw=(100, 200)):
    x = Instances(size_hw)
    x.gt_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    x.gt_classes = torch.arange(len(boxes))
    x.gt_masks = BitMasks(torch.zeros(len(boxes), *size_hw, dtype=torch.bool))
    return x


def propose(*images, **law):
    generator = GivenBoxes(**{"jitter": 0.0, "copies": 1, "max_boxes": 64, **law})
    proposals, losses = generator(None, None, list(images))
    assert losses == {}
    return proposals


def test_sides_move_by_a_uniform_share_of_their_own_extent():
    boxes = torch.tensor([[100.0, 200, 300, 240]]).repeat(20_000, 1)
    moves = (jittered(boxes, 0.2) - boxes) / torch.tensor([200.0, 40, 200, 40])
    assert moves.abs().max() <= 0.2 + 1e-6
    assert moves.mean(0).abs().max() < 0.003
    assert moves.std(0).tolist() == pytest.approx([0.4 / 12**0.5] * 4, rel=0.02)
    assert torch.corrcoef(moves.T).fill_diagonal_(0).abs().max() < 0.03  # each by itself


def test_boxes_keep_the_iou_that_is_promised():
    truth = Boxes(torch.tensor([[100.0, 200, 300, 240]]))
    for jitter in (0.1, 0.3):
        drawn = Boxes(jittered(truth.tensor.repeat(20_000, 1), jitter))
        least = pairwise_iou(truth, drawn).min()
        assert (1 - 2 * jitter) ** 2 <= least < (1 - 2 * jitter) ** 2 + 0.1
    corner = torch.tensor([[0.2, 0.2, -0.2, -0.2]]) * torch.tensor([200.0, 40, 200, 40])
    worst = pairwise_iou(truth, Boxes(truth.tensor + corner))
    assert worst.item() == pytest.approx((1 - 2 * 0.2) ** 2)


def test_a_seed_repeats_the_draw_and_no_jitter_moves_nothing():
    boxes = torch.tensor([[1.0, 2, 30, 40]])
    draws = []
    for _ in range(2):
        torch.manual_seed(3)
        draws.append(jittered(boxes, 0.1))
    assert torch.equal(*draws)
    assert torch.equal(jittered(boxes, 0.0), boxes)


def test_proposals_keep_their_objects_inside_the_image():
    given = objects([[0, 0, 200, 100], [10, 20, 30, 60], [199, 99, 200, 100]])
    (proposals,) = propose(given, jitter=0.49, copies=20)
    boxes = proposals.proposal_boxes.tensor
    assert torch.bincount(proposals.gt_classes).tolist() == [20, 20, 20]
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert (boxes >= 0).all()
    assert (boxes <= torch.tensor([200, 100, 200, 100])).all()
    centres = proposals.proposal_boxes.get_centers()[proposals.gt_classes == 1]
    assert (centres - torch.tensor([20.0, 40])).abs().max() < 20
    truth = given.gt_boxes.tensor[proposals.gt_classes]
    assert torch.equal(proposals.gt_boxes.tensor, truth)
    assert not torch.equal(boxes, truth)


@pytest.mark.parametrize(
    ("number", "copies", "max_boxes", "expected"),
    [(3, 1, 64, 3), (3, 4, 64, 12), (3, 4, 8, 6), (9, 4, 8, 8), (0, 4, 8, 0)],
)
def test_copies_fill_what_there_is_room_for(number, copies, max_boxes, expected):
    given = objects([[i, 0, i + 5, 10] for i in range(number)])
    (proposals,) = propose(given, copies=copies, max_boxes=max_boxes)
    assert len(proposals) == expected
    counts = torch.bincount(proposals.gt_classes, minlength=1)
    assert counts.max() <= max(expected // max(number, 1), 1)
    assert torch.equal(proposals.proposal_boxes.tensor, given.gt_boxes.tensor[proposals.gt_classes])


@pytest.mark.parametrize("head", HEADS)
def test_parameters_are_those_of_the_full_model(head):
    ours = build(**HEADS[head])
    torch.manual_seed(0)
    full = build_model(model_cfg(RCNN, **{**HEADS[head], "FREEZE": []}))
    shapes = {name: value.shape for name, value in full.state_dict().items()}
    parts = ("backbone.", "roi_heads.mask_head.")
    expected = {name: shape for name, shape in shapes.items() if name.startswith(parts)}
    assert {name: value.shape for name, value in ours.state_dict().items()} == expected
    ours.load_state_dict({name: full.state_dict()[name] for name in expected}, strict=True)
    # The same boxes then get the same masks, bit for bit.
    example = picture((64, 96), [])
    given = Instances((64, 96))
    given.pred_boxes = Boxes(torch.tensor([[10.0, 12, 50, 60], [0, 0, 96, 64]]))
    given.pred_classes = torch.tensor([2, 0])
    masks = []
    for model in (ours.eval(), full.eval()):
        boxes = Instances(given.image_size, **given.get_fields())
        with torch.no_grad():
            (found,) = model.inference([example], [boxes], do_postprocess=False)
        masks.append(found.pred_masks)
    assert masks[0].shape == (2, 1, SIDES[head], SIDES[head])
    assert torch.equal(*masks)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("boxes", [[], [(10, 12, 50, 60)]], ids=["no object", "one"])
def test_training_trains_the_mask_head_alone_and_no_object_is_no_error(event_storage, head, boxes):
    model = build(**HEADS[head])
    losses = backward(model, [picture((64, 96), boxes), picture((80, 64), [])])
    names = {"loss_mask", "loss_mask_point"} if head == "PointRend" else {"loss_mask"}
    assert set(losses) == names
    assert all((value > 0.1) == bool(boxes) for value in losses.values())
    assert all(p.grad is not None for p in model.roi_heads.parameters())


def test_without_boxes_inference_says_how_to_give_them():
    model = build().eval()
    with pytest.raises(ValueError, match=r"finds no objects by itself.*boxes=.*--boxes"):
        model([picture((64, 96), [])])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ROI_HEADS__NAME": "StandardROIHeads"}, "'GivenBoxes'.*found 'StandardROIHeads'"),
        ({"PROPOSAL_GENERATOR__NAME": "RPN"}, r"'MaskOnlyROIHeads'.*found True, False and 'RPN'"),
        ({"MASK_ON": False}, "found False, False and 'GivenBoxes'"),
        ({"PROPOSAL_GENERATOR__BOX_JITTER": 0.5}, r"BOX_JITTER is 0\.5; it must be at least 0 and"),
        ({"PROPOSAL_GENERATOR__BOX_COPIES": 0}, "BOX_COPIES is 0; it must be at least 1"),
        ({"ROI_HEADS__BATCH_SIZE_PER_IMAGE": 0}, "BATCH_SIZE_PER_IMAGE is 0; it must be"),
    ],
)
def test_refused_when_the_model_is_built(changes, message):
    with pytest.raises(ValueError, match=message):
        build_checked_model(model_cfg(RCNN, **{**BOX_TO_MASK, **changes}))
