"""``PointRendPanopticFPN``: Detectron2's model, but for points in the padding of a batch."""

from unittest import mock

import pytest
import torch
from detectron2.modeling import build_model

from pointrend_ext.modeling import PointRendPanopticFPN
from tests.modeling.builders import backward, model_cfg, picture
from tests.modeling.test_rcnn import PANOPTIC, stuff_picture


def build(architecture="PointRendPanopticFPN", **changes):
    torch.manual_seed(7)
    changes["PANOPTIC_FPN__COMBINE__STUFF_AREA_LIMIT"] = 100
    return build_model(model_cfg({**PANOPTIC, "META_ARCHITECTURE": architecture}, **changes))


def infer(model, inputs, **how):
    with torch.no_grad():
        return model.eval().inference(inputs, **how)


def test_the_head_learns_the_sizes_of_the_images():
    model, sizes = build(), [(37, 64), (60, 53)]
    with mock.patch.object(model.sem_seg_head, "forward", wraps=model.sem_seg_head.forward) as head:
        results = infer(model, [picture(size) for size in sizes])
    assert head.call_args.kwargs == {"image_sizes": sizes}
    assert [tuple(r["sem_seg"].shape[-2:]) for r in results] == sizes


def test_an_image_of_a_padded_batch_is_refined_as_it_is_alone():
    """With few points: one in the padding would be missing in the image."""
    model = build(SEM_SEG_POINT_HEAD__SUBDIVISION_NUM_POINTS=20)
    head = model.sem_seg_head
    torch.nn.init.normal_(head.point_head.predictor.weight)
    sizes = [(37, 30), (64, 96)]
    maps = {}
    model.backbone.forward = lambda x: maps["features"]  # of which the padding is a part
    torch.manual_seed(1)
    shapes = {p: 2 ** int(p[1]) for p in ("p2", "p3", "p4", "p5", "p6")}
    maps["features"] = {p: torch.randn(2, 8, 64 // s, 96 // s) for p, s in shapes.items()}
    _, logits = infer(model, [picture(size) for size in sizes], do_postprocess=False)
    with torch.no_grad():
        plain = head.coarse_sem_seg_head.layers(maps["features"])
    for _ in range(2):
        plain = torch.nn.functional.interpolate(plain, scale_factor=2, mode="bilinear")
    changed = (logits != plain).any(dim=1)
    assert changed[0, :37, :30].sum() > 20
    assert changed[0].sum() == changed[0, :40, :32].sum()  # in cells that the image touches
    assert changed[1, 40:, 32:].any()


def test_without_padding_it_is_detectron2s_model(event_storage):
    ours, theirs = build(), build("PanopticFPN")
    assert isinstance(ours, PointRendPanopticFPN)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    batch = [stuff_picture((64, 96)), stuff_picture((90, 70))]
    losses = []
    for model in (ours, theirs):
        torch.manual_seed(3)
        losses.append(backward(model, batch))
    assert losses[0] == losses[1]
    assert len(losses[0]) == 8
    inputs = [{**picture((64, 96)), "height": 128, "width": 150}, picture((64, 96))]
    for got, expected in zip(infer(ours, inputs), infer(theirs, inputs), strict=True):
        assert torch.equal(got["sem_seg"], expected["sem_seg"])
        assert torch.equal(got["instances"].pred_masks, expected["instances"].pred_masks)
        assert torch.equal(got["panoptic_seg"][0], expected["panoptic_seg"][0])
        assert got["panoptic_seg"][1] == expected["panoptic_seg"][1]
        assert len(got["panoptic_seg"][1]) > 1
    raw = [infer(model, inputs[1:], do_postprocess=False) for model in (ours, theirs)]
    assert torch.equal(raw[0][0][0].pred_masks, raw[1][0][0].pred_masks)
    assert torch.equal(raw[0][1], raw[1][1])


def test_a_head_that_knows_no_padding_is_refused():
    with pytest.raises(
        ValueError, match=r"PointRendPanopticFPN needs .* not SemSegFPNHead\. Use .* PanopticFPN "
    ):
        build(SEM_SEG_HEAD__NAME="SemSegFPNHead")
