"""Scores of masks by hand, against a slow oracle, and in models."""

import pytest
import torch

from pointrend_ext.modeling.roi_heads.mask_score import MASK_SCORES, maskness, outline_confidence
from pointrend_ext.modeling.unread_keys import build_checked_model
from tests.modeling.builders import RCNN, model_cfg, picture

POINTREND, PLAIN = "PointRendROIMaskHead", "MaskRCNNConvUpsampleHead"


def test_by_hand():
    masks = torch.full((3, 1, 4, 4), 0.1)
    masks[0, 0, 1:3, 1:3] = torch.tensor([[0.5, 0.7], [0.9, 0.9]])
    masks[1] = 0.8  # fills its box
    assert maskness(masks).tolist() == pytest.approx([0.75, 0.8, 0])
    # Of the first, the 4 cells inside and the 8 outside that share a side with one of them.
    outline = (0 + 0.4 + 0.8 + 0.8 + 8 * 0.8) / 12
    assert outline_confidence(masks).tolist() == pytest.approx([outline, 0.6, 0])
    for score in (maskness, outline_confidence):
        assert score(torch.zeros(0, 1, 4, 4)).shape == (0,)
        assert score(torch.ones(1, 1, 1, 1)).tolist() == [1]


def slow_outline(mask):
    side, found = len(mask), []
    for i in range(side):
        for j in range(side):
            for k, m in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
                other = 0 <= k < side and 0 <= m < side and mask[k][m] >= 0.5
                if other != (mask[i][j] >= 0.5):
                    found.append(abs(2 * mask[i][j] - 1))
                    break
    return sum(found) / len(found)


def test_outline_against_an_oracle(rng):
    masks = torch.rand(5, 1, 9, 9, generator=rng, dtype=torch.float64)
    expected = [slow_outline(mask[0].tolist()) for mask in masks]
    assert outline_confidence(masks).tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("head", [POINTREND, PLAIN])
@pytest.mark.parametrize(("name", "score"), [*MASK_SCORES.items()])
def test_the_key_in_a_model(head, name, score):
    """Scores alone change, by the masks that come out; off, everything is as it was."""
    keys = {"ROI_MASK_HEAD__NAME": head}
    if head == PLAIN:
        keys.update(ROI_MASK_HEAD__POOLER_TYPE="ROIAlignV2", ROI_MASK_HEAD__NUM_CONV=1)
    cfg = model_cfg(RCNN, **keys)
    torch.manual_seed(0)
    plain = build_checked_model(cfg).eval()
    cfg.MODEL.ROI_MASK_HEAD.MASK_SCORE = name
    scored = build_checked_model(cfg).eval()
    scored.load_state_dict(plain.state_dict())
    inputs = [picture((64, 96))]
    with torch.no_grad():
        (before,), (after,) = (m.inference(inputs, do_postprocess=False) for m in (plain, scored))
    assert len(before) > 0
    assert not torch.equal(before.scores, after.scores)
    assert torch.equal(after.scores, before.scores * score(before.pred_masks))
    for field in ("pred_boxes", "pred_classes", "pred_masks"):
        values = [getattr(x, field) for x in (before, after)]
        assert torch.equal(*(getattr(v, "tensor", v) for v in values))


def test_training_has_no_mask_scores():
    head = build_checked_model(model_cfg(RCNN, ROI_MASK_HEAD__MASK_SCORE="maskness")).roi_heads
    (hook,) = head.mask_head._forward_hooks.values()
    losses = {"loss_mask": torch.ones(())}
    assert hook(head.mask_head.train(), None, losses) is None
    assert losses == {"loss_mask": 1}


def test_bad_keys_are_refused():
    with pytest.raises(ValueError, match=r"MASK_SCORE is 'iou'; it must be .* maskness, outline"):
        build_checked_model(model_cfg(RCNN, ROI_MASK_HEAD__MASK_SCORE="iou"))
    cfg = model_cfg(RCNN, ROI_MASK_HEAD__MASK_SCORE="maskness", MASK_ON=False)
    with pytest.raises(ValueError, match=r"MASK_SCORE is 'maskness', but no part.*MASK_ON True"):
        build_checked_model(cfg)
