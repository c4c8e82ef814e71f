"""The padding of a batch takes part in no loss of a training with large-scale jitter."""

import pytest
import torch
from detectron2.modeling.proposal_generator import RPN
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from pointrend_ext.modeling.padding import PaddingBlindRPN
from pointrend_ext.modeling.sem_seg.label_map import labelled_extents
from pointrend_ext.modeling.unread_keys import build_checked_model
from tests.modeling.builders import RCNN, model_cfg, picture


@pytest.fixture
def model():
    cfg = model_cfg(RCNN)
    cfg.INPUT.LSJ.ENABLED = True
    return build_checked_model(cfg)


def test_the_key_chooses():
    assert type(build_checked_model(model_cfg(RCNN)).proposal_generator) is RPN
    cfg = model_cfg(RCNN)
    cfg.INPUT.LSJ.ENABLED = True
    assert type(build_checked_model(cfg).proposal_generator) is PaddingBlindRPN


def test_anchors_by_hand(model):
    """Centres inside 60 x 40 pixels (width x height)."""
    rpn = model.proposal_generator
    boxes = [
        [-8.0, -8, 8, 8],
        [40, 20, 60, 40],
        [30, 20, 70, 60],
        [50, 20, 70, 40],
        [90, 90, 99, 99],
    ]
    image = Instances((40, 60))
    image.gt_boxes = Boxes(torch.tensor([[41.0, 20, 60, 40]]))
    for split in (1, 3):  # feature maps
        anchors = [Boxes(torch.tensor(boxes[:split])), Boxes(torch.tensor(boxes[split:]))]
        (labels,), (targets,) = rpn.label_and_sample_anchors(anchors, [image])
        assert labels.tolist() == [0, 1, -1, -1, -1]  # on the border is outside
        assert targets[1].tolist() == [41, 20, 60, 40]
        assert targets.shape == (5, 4)


def test_without_padding_nothing_changes(model):
    rpn, generator = model.proposal_generator, torch.Generator().manual_seed(0)
    x0y0 = torch.rand(300, 2, generator=generator) * 80
    anchors = [Boxes(torch.cat([x0y0, x0y0 + 19], dim=1))]
    images = [Instances((100, 100)) for _ in range(2)]
    images[0].gt_boxes = Boxes(anchors[0].tensor[:7] + 1)
    images[1].gt_boxes = Boxes(torch.zeros(0, 4))
    torch.manual_seed(1)
    labels, targets = rpn.label_and_sample_anchors(anchors, images)
    torch.manual_seed(1)
    theirs = RPN.label_and_sample_anchors(rpn, anchors, images)
    for ours, their in zip(labels, theirs[0], strict=True):
        assert torch.equal(ours, their)
    positive = labels[0] == 1
    assert positive.sum() >= 7
    assert torch.equal(targets[0][positive], theirs[1][0][positive])


def test_no_gradient_reaches_the_logits_of_the_padding(model, monkeypatch):
    """A batch of 32 x 48 and 64 x 96: three quarters of the first one are padding."""
    batch = [picture((32, 48), [[4, 4, 30, 30]]), picture((64, 96), [[10, 10, 60, 60]])]
    seen, losses_of = {}, RPN.losses

    def losses(self, anchors, logits, *rest):
        for x in logits:
            x.retain_grad()
        seen.update(logits=logits, anchors=anchors)
        return losses_of(self, anchors, logits, *rest)

    monkeypatch.setattr(RPN, "losses", losses)
    with EventStorage():
        found = model.train()(batch)
    found["loss_rpn_cls"].backward()
    x, y = Boxes.cat(seen["anchors"]).get_centers().T
    gradients = torch.cat([logits.grad for logits in seen["logits"]], dim=1)
    padding = (x >= 48) | (y >= 32)
    assert 0.5 < padding.float().mean() < 0.9
    assert not gradients[0][padding].any()
    assert gradients[0][~padding].any()
    assert gradients[1][padding].any()


def test_extents_by_hand():
    labels = torch.full((4, 4, 8), 9)
    labels[0, :2, :3] = 1
    labels[1, 3, 7] = 0
    labels[2] = 0
    got = labelled_extents(labels, (8, 16), 9, torch.float64)
    expected = [[3 / 16, 2 / 8], [8 / 16, 4 / 8], [8 / 16, 4 / 8], [1, 1]]  # none labelled: all
    assert got.tolist() == expected
